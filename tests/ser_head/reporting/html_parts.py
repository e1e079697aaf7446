"""Html as tests read it: elements, what they would fetch, alternative texts, words, and whether tags close."""

import re
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr"}  # elements without an end tag
FETCHING = {"src", "href", "srcset", "data", "action", "poster"}


class HtmlParts(HTMLParser):
    """Parts of a page or a fragment.

    Attributes:
        tags: names of the elements, in order.
        fetched: values of all attributes that a browser would fetch.
        alts: alternative text of each image.
        words: pieces of text, without those of style elements.
    """

    def __init__(self, text):
        super().__init__()
        self.tags, self.fetched, self.alts, self.words, self._open = [], [], [], [], []
        self.feed(text)
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        values = dict(attributes)
        self.fetched += [values[name] for name in FETCHING & values.keys()]
        self.alts += [values.get("alt")] if tag == "img" else []
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))
