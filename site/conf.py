"""Sphinx's settings. The sources are laid out by `stage.py`."""

import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent
MATHJAX = HERE.parent / ".venv" / "npm" / "node_modules" / "mathjax" / "es5"  # `make site` installs it

project = "vaekit"
author = copyright = "The vaekit authors"
extensions = ["myst_nb"]
exclude_patterns = ["notebooks"]  # the files behind the buttons

myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_render_markdown_format = "myst"
nb_code_prompt_show, nb_code_prompt_hide = "Show the code", "Hide the code"
nb_ipywidgets_js = {}  # nothing runs behind a page
mathjax_path = "mathjax/tex-chtml.js"
python_maximum_signature_line_length = 80
toc_object_entries = False

html_theme = "sphinx_book_theme"
html_title = "vaekit"
html_static_path = [str(HERE / "static")]
html_favicon = str(HERE / "static" / "vaekit.svg")
html_css_files, html_js_files = ["site.css"], ["site.js"]
html_use_index = html_domain_indices = False  # the page of all modules is one
html_copy_source = html_show_sourcelink = html_show_sphinx = False
html_theme_options = {
    "show_toc_level": 2,
    "collapse_navigation": True,
    **{f"navbar_{place}": [] for place in ("start", "center", "end", "persistent")},
    "use_download_button": False,  # a notebook's own button gives the file as it is committed
    "use_fullscreen_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def copy_mathjax(app, exception):
    """What pages load of MathJax: formulas are TeX, and set as text."""
    static = Path(app.outdir) / "_static"
    for part in ("tex-chtml.js", "input/tex/extensions", "output/chtml/fonts"):
        source, target = MATHJAX / part, static / "mathjax" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target, dirs_exist_ok=True) if source.is_dir() else shutil.copy(source, target)
    for unused in [*static.rglob("*.map"), *static.rglob("*.html")]:
        unused.unlink()


def setup(app):
    app.connect("build-finished", copy_mathjax)
