"""Sphinx's settings. Sources are laid out by `stage.py`; MathJax is copied there from npm's package by the Makefile."""

import os

project = "vaekit"
author = copyright = "The vaekit authors"
extensions = ["myst_nb"]
exclude_patterns = ["notebooks"]  # the files behind the buttons

myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_render_markdown_format = "myst"
nb_ipywidgets_js = {}  # questions stand on the page; nothing runs behind it

html_theme = "sphinx_book_theme"
html_title = "vaekit"
html_static_path = [os.path.join(os.path.dirname(__file__), "static"), os.environ["VAEKIT_MATHJAX"]]
html_css_files = ["site.css"]
html_favicon = os.path.join(os.path.dirname(__file__), "static", "vaekit.svg")
html_copy_source = html_show_sourcelink = html_show_sphinx = False
html_theme_options = {
    "show_toc_level": 2,
    "use_download_button": False,  # a notebook's own button gives the file as it is committed
    "use_fullscreen_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {"options": {"enableMenu": False}, "tex": {"macros": {}}}
python_maximum_signature_line_length = 80
add_module_names = True
toc_object_entries = False
