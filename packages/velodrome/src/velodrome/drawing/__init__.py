"""Figures: what one shows, and its files. Imports little, as each process that draws does so."""
