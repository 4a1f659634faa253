// The icons of these pages come from the theme's font; its script of 1.6 MB has thousands more.
