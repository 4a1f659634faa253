"""One file a paper: its architectures by their names, its settings, and its reported tables as data."""

from vaekit.papers import burda2015, dieng2018, kingma2013, rybkin2020, tomczak2017

__all__ = ["burda2015", "dieng2018", "kingma2013", "rybkin2020", "tomczak2017"]
