"""Every picture this library draws, by theme. Functions take plain tables and arrays and return a matplotlib Figure.

Nothing here touches pyplot, so drawing leaves no global state behind and needs no display. `style` holds what all
pictures share: one colour per emotion, fonts, and the way from a Figure to an image inside an html page.
"""
