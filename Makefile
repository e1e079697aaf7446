# Each target makes .venv and installs into it by itself, if that has not been done.
.PHONY: install demo hubert-mini emodb-head test test-slow test-corpus fuzz check format bench clean
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
	rm -rf demo/embeddings demo/runs
	$(PYTHON) -m ser_embed.demo demo/data/demo
	$(PYTHON) -m ser_embed.extract --model hubert-mini --data demo/data --store demo/embeddings/hubert-mini.h5
	$(PYTHON) -m ser_head.train --store demo/embeddings/hubert-mini.h5 --out demo/runs/base
	$(PYTHON) -m ser_head.train --store demo/embeddings/hubert-mini.h5 --out demo/runs/personalized --personalized
	$(PYTHON) -m ser_head.compare demo/runs/base demo/runs/personalized --output demo/runs/compare.html
	$(PYTHON) -m ser_embed.demo demo/new-voices --seed 1 --speakers 2 --sentences 2
	$(PYTHON) -m ser_head.predict --run demo/runs/base demo/new-voices --output demo/runs/new-voices.csv
	@echo "Open demo/runs/base/report.html and demo/runs/compare.html in a browser."

# The encoder that comes with the library, made anew; two and a half hours on two cores with AMX. The same command goes
# on where it stopped. The first network learns to name clusters of sounds, of melody and of manner; the second goes on
# from it, with clusters of its fourth layer in place of the sounds; the third hears most crops whole, and learns to tell
# their functionals. One thread for each of two processes: where anything else runs beside them, threads that wait for
# each other many times a step take ten times as long.
MINI := ser_embed/encoders/hubert_mini
LEARN := OMP_NUM_THREADS=1 $(PYTHON) -m ser_embed.pretrain --data $(SPEECH) --cache models/speech --batch 16 \
	--crop-s 3 --part-seconds 24 --workers 1 --device $(DEVICE)
DEVICE := cpu,cpu

hubert-mini: $(INSTALLED)
	$(LEARN) --output models/hubert-mini-1 --targets mfcc=100,prosody=64,manner=32 --augment 0.3 --epochs 4
	$(LEARN) --output models/hubert-mini-2 --model models/hubert-mini-1 --augment 0.3 --epochs 2 --learning-rate 5e-4 \
		--half --targets models/hubert-mini-1@4=200,prosody=64,manner=32
	$(LEARN) --output models/hubert-mini --model models/hubert-mini-2 --augment 0.1 --epochs 5 --learning-rate 1e-3 \
		--head-learning-rate 2e-3 --half --functionals 0.9
	cp $(addprefix models/hubert-mini/,config.json model.safetensors preprocessor_config.json) $(MINI)

# The head that comes with the library, made anew; three minutes on two cores. It learns from EmoDB, which audEERING
# published under CC0-1.0; the figures of its model card are printed by `python -m benchmarks.emodb_head`.
CORPORA := ../shared/data
EMODB := models/emodb-head

emodb-head: $(INSTALLED)
	rm -rf $(EMODB)
	$(PYTHON) -m ser_embed.extract --model hubert-mini --dtype float32 --data $(CORPORA) --corpus emodb \
		--store $(EMODB)/emodb.h5
	$(PYTHON) -m ser_head.train --store $(EMODB)/emodb.h5 --protocol loso --personalized normalize --refit whole --seed 0 \
		--out $(EMODB)/run
	$(PYTHON) -c "from ser_head.runs.shipping import ship_run; ship_run('$(EMODB)/run', 'ser_head/emodb_head')"

# A file's tests stay in one process, as they share what is made for them.
TEST := $(PYTHON) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test: $(INSTALLED)
	$(TEST)

# Minutes long: 200 kills of an extraction, large stores, the difficulty of the demo corpus, the notebooks.
test-slow: $(INSTALLED)
	$(PYTHON) -m pytest -m slow --timeout=3600

# Thousands of damaged and hostile files: audio, stores, runs, profiles, manifests. Prints one table.
fuzz: $(INSTALLED)
	$(PYTHON) -m tests.fuzz --count 10000

# On the real corpora in ../shared/data, or the folder named by SER_DATA.
test-corpus: $(INSTALLED)
	$(PYTHON) -m pytest -m corpus --timeout=3600

check: $(INSTALLED)
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	$(TEST)

format: $(INSTALLED)
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

bench: $(INSTALLED)
	$(PYTHON) -m benchmarks

clean:
	rm -rf .venv demo build *.egg-info
