"""The forecasters that our model is compared with."""
