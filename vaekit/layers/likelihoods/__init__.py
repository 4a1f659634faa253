"""Likelihoods p(x|z) and posteriors q(z|x), one file each: distribution (where TFP lacks it), layer, and support."""
