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


# Theme variables of Gradio; pairs are (light, dark).
_SURFACES = {
    "body_background_fill": ("*neutral_50", "*neutral_950"),
    "background_fill_primary": ("#ffffff", "*neutral_900"),
    "background_fill_secondary": ("*neutral_100", "*neutral_950"),
    "border_color_primary": ("*neutral_200", "#343834"),
    "border_color_accent": ("*primary_600", "*primary_400"),
    "color_accent_soft": ("*primary_50", "*primary_900"),
    "block_background_fill": ("#ffffff", "*neutral_900"),
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
    "table_even_background_fill": ("#ffffff", "*neutral_900"),
    "table_odd_background_fill": ("*neutral_50", "#202320"),
    "table_border_color": ("*neutral_200", "#343834"),
    "table_radius": "8px",
    "table_row_focus": ("*primary_100", "*primary_900"),
    "panel_background_fill": ("transparent", "transparent"),
    "code_background_fill": ("*neutral_100", "*neutral_800"),
}
_TEXTS = {
    "body_text_color": ("*neutral_900", "#e9ebe6"),
    "body_text_color_subdued": ("#5c605a", "#a4a8a0"),
    "body_text_size": "14px",
    "block_label_background_fill": ("transparent", "transparent"),
    "block_label_border_width": ("0px", "0px"),
    "block_label_text_color": ("*body_text_color_subdued", "*body_text_color_subdued"),
    "block_label_text_size": "13px",
    "block_label_text_weight": "600",
    "block_title_text_color": ("*body_text_color", "*body_text_color"),
    "block_title_text_size": "13px",
    "block_title_text_weight": "600",
    "block_info_text_color": ("*body_text_color_subdued", "*body_text_color_subdued"),
    "block_info_text_size": "12.5px",
    "link_text_color": ("*primary_700", "*primary_300"),
    "section_header_text_weight": "600",
    "accordion_text_color": ("*body_text_color", "*body_text_color"),
}
_CONTROLS = {
    "input_background_fill": ("#ffffff", "*neutral_950"),
    "input_border_color": ("#8b8f87", "#7b8079"),
    "input_border_color_focus": ("*primary_600", "*primary_400"),
    "input_border_width": "1px",
    "input_radius": "6px",
    "input_padding": "7px 10px",
    "input_shadow": "none",
    "input_shadow_focus": "none",
    "input_text_size": "14px",
    "input_placeholder_color": ("#757a72", "#8f948b"),
    "checkbox_border_color": ("#8b8f87", "#7b8079"),
    "checkbox_background_color_selected": ("*primary_600", "*primary_500"),
    "checkbox_border_color_selected": ("*primary_600", "*primary_400"),
    "checkbox_label_background_fill": ("transparent", "transparent"),
    "checkbox_label_background_fill_hover": ("*neutral_100", "*neutral_800"),
    "checkbox_label_background_fill_selected": ("*primary_50", "*primary_900"),
    "checkbox_label_border_color": ("*neutral_300", "#454a45"),
    "checkbox_label_border_color_selected": ("*primary_600", "*primary_400"),
    "checkbox_label_border_width": "1px",
    "checkbox_label_padding": "6px 10px",
    "checkbox_label_text_size": "14px",
    "slider_color": ("*primary_600", "*primary_400"),
    "loader_color": "*primary_600",
}
_BUTTONS = {
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
    "button_primary_background_fill": ("*primary_600", "*primary_600"),
    "button_primary_background_fill_hover": ("*primary_700", "*primary_500"),
    "button_primary_border_color": ("*primary_700", "*primary_500"),
    "button_primary_text_color": ("#ffffff", "#ffffff"),
    "button_secondary_background_fill": ("#ffffff", "*neutral_800"),
    "button_secondary_background_fill_hover": ("*neutral_100", "*neutral_700"),
    "button_secondary_border_color": ("*neutral_300", "#4b504b"),
    "button_secondary_text_color": ("*neutral_900", "#e9ebe6"),
    "button_cancel_background_fill": ("#fdf3f1", "#3a1f1b"),
    "button_cancel_background_fill_hover": ("#f9e2de", "#4c2721"),
    "button_cancel_border_color": ("#c9786b", "#a5594c"),
    "button_cancel_text_color": ("#8d2f1f", "#f3b8ad"),
}


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
    variables: dict[str, str] = {}
    for name, value in {**_SURFACES, **_TEXTS, **_CONTROLS, **_BUTTONS}.items():
        light, dark = value if isinstance(value, tuple) else (value, None)
        variables[name] = light
        if dark is not None:
            variables[f"{name}_dark"] = dark
    return theme.set(**variables)
