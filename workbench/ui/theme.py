"""The look of the page: a quiet theme of our own, derived from Gradio's bare base.

Colours and theme variables are in ``assets/theme.json``, what these cannot say in
``assets/theme.css``. Fonts are those that Gradio ships, so nothing is fetched from elsewhere.
"""

import json
from pathlib import Path

from gradio import themes

ASSETS = Path(__file__).resolve().parents[2] / "assets"


def build_theme() -> themes.Base:
    """The theme object for ``launch``."""
    look = json.loads((ASSETS / "theme.json").read_text(encoding="utf-8"))
    colours = {name: themes.Color(name=name, **shades) for name, shades in look["colours"].items()}
    # Gradio's 600 file of a face holds only part of the alphabet; 700 is whole.
    sans, mono = (
        themes.LocalFont(f"IBM Plex {kind}", weights=(400, 700)) for kind in ("Sans", "Mono")
    )
    theme = themes.Base(
        primary_hue=colours["petrol"],
        secondary_hue=colours["petrol"],
        neutral_hue=colours["stone"],
        spacing_size=themes.sizes.spacing_md,
        radius_size=themes.sizes.radius_md,
        text_size=themes.sizes.text_sm,
        font=(sans, "ui-sans-serif", "system-ui", "sans-serif"),
        font_mono=(mono, "ui-monospace", "monospace"),
    )
    variables: dict[str, str] = {}
    for name, value in look["variables"].items():
        if isinstance(value, str):
            variables[name] = value
        else:  # light and dark
            variables[name], variables[f"{name}_dark"] = value
    return theme.set(**variables)
