# Each target makes .venv and installs into it by itself, if that has not been done.
.PHONY: install demo hubert-mini test test-slow test-corpus check format bench clean
.DEFAULT_GOAL := test

PYTHON := .venv/bin/python
INSTALLED := .venv/.installed
# What `make hubert-mini` learns from: any folder of speech, best with a manifest.csv of `path` and `speaker`.
SPEECH := ../shared/data/pretrain

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	python3 -m venv .venv
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all]'
	touch $@

# A synthetic corpus, its vectors, a base and a personalised head, and predictions on voices nobody has trained on.
demo: $(INSTALLED)
	rm -rf demo/runs
	$(PYTHON) -m ser_embed.demo demo/data/demo
	$(PYTHON) -m ser_embed.extract --model mfcc --data demo/data --store demo/embeddings/mfcc.h5
	$(PYTHON) -m ser_head.train --store demo/embeddings/mfcc.h5 --out demo/runs/base
	$(PYTHON) -m ser_head.train --store demo/embeddings/mfcc.h5 --out demo/runs/personalized --personalized
	$(PYTHON) -m ser_head.compare demo/runs/base demo/runs/personalized --output demo/runs/compare.html
	$(PYTHON) -m ser_embed.demo demo/new-voices --seed 1 --speakers 2 --sentences 2
	$(PYTHON) -m ser_head.predict --run demo/runs/base demo/new-voices --output demo/runs/new-voices.csv
	@echo "Open demo/runs/base/report.html and demo/runs/compare.html in a browser."

# An encoder of the library's own, hours long; the same command goes on where it stopped. The first network learns to
# name clusters of MFCC and of prosody, the second, which goes on from it, clusters of its fourth layer and of prosody.
hubert-mini: $(INSTALLED)
	$(PYTHON) -m ser_embed.pretrain --data $(SPEECH) --cache models/speech --output models/hubert-mini-1 \
		--targets mfcc=100,prosody=64 --epochs 12 --augment 0.3
	$(PYTHON) -m ser_embed.pretrain --data $(SPEECH) --cache models/speech --output models/hubert-mini \
		--model models/hubert-mini-1 --targets models/hubert-mini-1@4=200,prosody=64 --epochs 12 --augment 0.3 \
		--learning-rate 3e-4

test: $(INSTALLED)
	$(PYTHON) -m pytest

# Minutes long: 200 kills of an extraction, large stores, the difficulty of the demo corpus.
test-slow: $(INSTALLED)
	$(PYTHON) -m pytest -m slow --timeout=3600

# On the real corpora in ../shared/data, or the folder named by SER_DATA.
test-corpus: $(INSTALLED)
	$(PYTHON) -m pytest -m corpus --timeout=3600

check: $(INSTALLED)
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	$(PYTHON) -m pytest

format: $(INSTALLED)
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

bench: $(INSTALLED)
	$(PYTHON) -m benchmarks

clean:
	rm -rf .venv demo build *.egg-info
