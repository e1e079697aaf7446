"""Plots, by theme: functions that take plain tables and arrays and return a matplotlib Figure.

None of them uses pyplot, so drawing leaves no global state behind and needs no display. `style` has what all plots
share: one colour per emotion, fonts, and the conversion of a Figure to an image inside an html page.
"""
