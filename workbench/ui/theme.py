"""The look of the page: a quiet theme of our own, derived from Gradio's bare base.

Layout and details that theme variables cannot say live in ``assets/theme.css``. Fonts are those
that Gradio ships, so nothing is fetched from elsewhere.
"""

from pathlib import Path

from gradio import themes

ASSETS = Path(__file__).resolve().parents[2] / "assets"

PETROL = themes.Color(
    name="petrol",
    c50="#eef6f5",
    c100="#d8ebe9",
    c200="#b0d6d3",
    c300="#7fbcb8",
    c400="#4f9e9a",
    c500="#2c817e",
    c600="#1c6a68",
    c700="#185554",
    c800="#164443",
    c900="#143938",
    c950="#082020",
)
STONE = themes.Color(
    name="stone",
    c50="#f8f8f5",
    c100="#f0f0ec",
    c200="#e3e3dd",
    c300="#cdcec6",
    c400="#9c9f97",
    c500="#6b6f68",
    c600="#52564f",
    c700="#3c403b",
    c800="#272a27",
    c900="#1b1d1b",
    c950="#131513",
)


def build_theme() -> themes.Base:
    """The theme object for ``launch``."""
    theme = themes.Base(
        primary_hue=PETROL,
        secondary_hue=PETROL,
        neutral_hue=STONE,
        spacing_size=themes.sizes.spacing_md,
        radius_size=themes.sizes.radius_md,
        text_size=themes.sizes.text_sm,
        font=(
            # Gradio's 600 file holds only part of the alphabet; 700 is whole.
            themes.LocalFont("IBM Plex Sans", weights=(400, 700)),
            "ui-sans-serif",
            "system-ui",
            "sans-serif",
        ),
        font_mono=(
            themes.LocalFont("IBM Plex Mono", weights=(400, 700)),
            "ui-monospace",
            "monospace",
        ),
    )
    return theme.set(**_surfaces(), **_texts(), **_controls(), **_buttons())


def _surfaces() -> dict[str, str]:
    return {
        "body_background_fill": "*neutral_50",
        "body_background_fill_dark": "*neutral_950",
        "background_fill_primary": "#ffffff",
        "background_fill_primary_dark": "*neutral_900",
        "background_fill_secondary": "*neutral_100",
        "background_fill_secondary_dark": "*neutral_950",
        "border_color_primary": "*neutral_200",
        "border_color_primary_dark": "#343834",
        "border_color_accent": "*primary_600",
        "border_color_accent_dark": "*primary_400",
        "color_accent_soft": "*primary_50",
        "color_accent_soft_dark": "*primary_900",
        "block_background_fill": "#ffffff",
        "block_background_fill_dark": "*neutral_900",
        "block_border_width": "1px",
        "block_border_color": "*border_color_primary",
        "block_shadow": "none",
        "block_radius": "8px",
        "block_padding": "10px 12px",
        "container_radius": "8px",
        "layout_gap": "14px",
        "form_gap_width": "0px",
        "shadow_drop": "none",
        "shadow_drop_lg": "0 8px 28px rgb(20 30 28 / 0.14)",
        "table_even_background_fill": "#ffffff",
        "table_even_background_fill_dark": "*neutral_900",
        "table_odd_background_fill": "*neutral_50",
        "table_odd_background_fill_dark": "#202320",
        "table_border_color": "*neutral_200",
        "table_border_color_dark": "#343834",
        "table_radius": "8px",
        "table_row_focus": "*primary_100",
        "table_row_focus_dark": "*primary_900",
        "panel_background_fill": "transparent",
        "panel_background_fill_dark": "transparent",
        "code_background_fill": "*neutral_100",
        "code_background_fill_dark": "*neutral_800",
    }


def _texts() -> dict[str, str]:
    return {
        "body_text_color": "*neutral_900",
        "body_text_color_dark": "#e9ebe6",
        "body_text_color_subdued": "#5c605a",
        "body_text_color_subdued_dark": "#a4a8a0",
        "body_text_size": "14px",
        "block_label_background_fill": "transparent",
        "block_label_background_fill_dark": "transparent",
        "block_label_border_width": "0px",
        "block_label_border_width_dark": "0px",
        "block_label_text_color": "*body_text_color_subdued",
        "block_label_text_color_dark": "*body_text_color_subdued",
        "block_label_text_size": "13px",
        "block_label_text_weight": "600",
        "block_title_text_color": "*body_text_color",
        "block_title_text_color_dark": "*body_text_color",
        "block_title_text_size": "13px",
        "block_title_text_weight": "600",
        "block_info_text_color": "*body_text_color_subdued",
        "block_info_text_color_dark": "*body_text_color_subdued",
        "block_info_text_size": "12.5px",
        "link_text_color": "*primary_700",
        "link_text_color_dark": "*primary_300",
        "section_header_text_weight": "600",
        "accordion_text_color": "*body_text_color",
        "accordion_text_color_dark": "*body_text_color",
    }


def _controls() -> dict[str, str]:
    return {
        "input_background_fill": "#ffffff",
        "input_background_fill_dark": "*neutral_950",
        "input_border_color": "#8b8f87",
        "input_border_color_dark": "#7b8079",
        "input_border_color_focus": "*primary_600",
        "input_border_color_focus_dark": "*primary_400",
        "input_border_width": "1px",
        "input_radius": "6px",
        "input_padding": "7px 10px",
        "input_shadow": "none",
        "input_shadow_focus": "none",
        "input_text_size": "14px",
        "input_placeholder_color": "#757a72",
        "input_placeholder_color_dark": "#8f948b",
        "checkbox_border_color": "#8b8f87",
        "checkbox_border_color_dark": "#7b8079",
        "checkbox_background_color_selected": "*primary_600",
        "checkbox_background_color_selected_dark": "*primary_500",
        "checkbox_border_color_selected": "*primary_600",
        "checkbox_border_color_selected_dark": "*primary_400",
        "checkbox_label_background_fill": "transparent",
        "checkbox_label_background_fill_dark": "transparent",
        "checkbox_label_background_fill_hover": "*neutral_100",
        "checkbox_label_background_fill_hover_dark": "*neutral_800",
        "checkbox_label_background_fill_selected": "*primary_50",
        "checkbox_label_background_fill_selected_dark": "*primary_900",
        "checkbox_label_border_color": "*neutral_300",
        "checkbox_label_border_color_dark": "#454a45",
        "checkbox_label_border_color_selected": "*primary_600",
        "checkbox_label_border_color_selected_dark": "*primary_400",
        "checkbox_label_border_width": "1px",
        "checkbox_label_padding": "6px 10px",
        "checkbox_label_text_size": "14px",
        "slider_color": "*primary_600",
        "slider_color_dark": "*primary_400",
        "loader_color": "*primary_600",
    }


def _buttons() -> dict[str, str]:
    return {
        "button_border_width": "1px",
        "button_large_padding": "9px 16px",
        "button_large_radius": "7px",
        "button_large_text_size": "14px",
        "button_large_text_weight": "600",
        "button_medium_radius": "7px",
        "button_medium_padding": "7px 13px",
        "button_medium_text_size": "14px",
        "button_small_padding": "5px 10px",
        "button_small_radius": "6px",
        "button_small_text_size": "13px",
        "button_small_text_weight": "500",
        "button_primary_background_fill": "*primary_600",
        "button_primary_background_fill_dark": "*primary_600",
        "button_primary_background_fill_hover": "*primary_700",
        "button_primary_background_fill_hover_dark": "*primary_500",
        "button_primary_border_color": "*primary_700",
        "button_primary_border_color_dark": "*primary_500",
        "button_primary_text_color": "#ffffff",
        "button_primary_text_color_dark": "#ffffff",
        "button_secondary_background_fill": "#ffffff",
        "button_secondary_background_fill_dark": "*neutral_800",
        "button_secondary_background_fill_hover": "*neutral_100",
        "button_secondary_background_fill_hover_dark": "*neutral_700",
        "button_secondary_border_color": "*neutral_300",
        "button_secondary_border_color_dark": "#4b504b",
        "button_secondary_text_color": "*neutral_900",
        "button_secondary_text_color_dark": "#e9ebe6",
        "button_cancel_background_fill": "#fdf3f1",
        "button_cancel_background_fill_dark": "#3a1f1b",
        "button_cancel_background_fill_hover": "#f9e2de",
        "button_cancel_background_fill_hover_dark": "#4c2721",
        "button_cancel_border_color": "#c9786b",
        "button_cancel_border_color_dark": "#a5594c",
        "button_cancel_text_color": "#8d2f1f",
        "button_cancel_text_color_dark": "#f3b8ad",
    }
