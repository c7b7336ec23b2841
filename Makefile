# `make demo` and `make test` set everything up on a machine with Python >= 3.11, git and make; a second call skips what is installed.

PYTHON ?= python3
VENV ?= .venv
CORES ?= 2
# A GPU machine: make demo TORCH=envs/torch-cuda.txt
TORCH ?= envs/torch-cpu.txt
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed

.PHONY: setup demo methods test test-processors test-slurm fuzz torture killed tamper lint benchmark docs rebuild-table manual coverage constraints clean clean-results

# What is missing in .venv, and nothing else
setup: $(INSTALLED)

demo: $(INSTALLED)
	$(BIN)/snakemake --cores $(CORES)
	@$(BIN)/python -m stars results

# Every method that is built, at toy scale on the demo's clips (docs/methods.md)
methods: $(INSTALLED)
	$(BIN)/snakemake --cores $(CORES) --configfile config/config.yaml config/compare/methods.yaml
	@$(BIN)/python -m stars results

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(CORES)

# The numeric tests as other processors would compute them; SHORT=--short: fewer, as the oldest
SHORT ?=
test-processors: $(INSTALLED)
	$(BIN)/python tests/processors.py $(SHORT)

# The workflow through a real Slurm, which the tests start on the loopback address: apt-get install slurm-wlm munge
test-slurm: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/slurm -n $(CORES) -rs

# Damaged raw files of every format: make fuzz FILES=1000 SEED=1
FILES ?= 50000
SEED ?= 0
fuzz: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz.py --files $(FILES) --seed $(SEED)

# Trainings killed at random and started again: make torture KILLS=100 SEED=1
KILLS ?= 50
torture: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python tests/torture.py --kills $(KILLS) --seed $(SEED)

# Every stage killed after each file that it writes, and run again.
killed: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python tests/killed.py

# Single bytes of results/ changed at random, each followed by an audit: make tamper CHANGES=1000
CHANGES ?= 1000
tamper: $(INSTALLED)
	$(BIN)/python benchmarks/tamper.py --changes $(CHANGES)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow stars/shipped/project/Snakefile
	$(BIN)/snakemake --lint

benchmark: $(INSTALLED)
	$(BIN)/python benchmarks/parse.py
	$(BIN)/python benchmarks/ingest.py
	$(BIN)/python benchmarks/preprocessed.py --clips 2000
	$(BIN)/python benchmarks/quality.py
	$(BIN)/stars bench sample
	$(BIN)/stars bench encode
	$(BIN)/stars bench train
	$(BIN)/stars bench knn --rounds 1
	$(BIN)/python benchmarks/startup.py

# docs/comparison.md from records of real data: every protocol, then the ablation of stage 2 on a held-out training subject, three seeds each. A job that fails
# stops no other; the page is written when both are whole, and the same command again makes only what is missing.
.PHONY: comparison-page
UTD = --cores $(CORES) --keep-going --config 'seeds=[0,1,2]' --configfile config/utd_mhad.yaml
comparison-page: $(INSTALLED)
	whole=0; \
	$(BIN)/snakemake $(UTD) -- comparison || whole=1; \
	$(BIN)/snakemake $(UTD) config/ablation_utd_mhad.yaml -- comparison || whole=1; \
	exit $$whole
	{ printf '# Every protocol on UTD-MHAD\n\nMade by `make comparison-page` from the records of its runs; what follows from it: [results](settings.md#stage-2-one-setting-at-a-time).\n\n' \
	  && cat results/utd_mhad_xsub/comparison.md && echo && cat results/utd_mhad_held/comparison.md; } > docs/comparison.md.part
	mv docs/comparison.md.part docs/comparison.md

# docs/comparison_methods.md: every method on UTD-MHAD at equal effort, three seeds; some two hours on two cores
.PHONY: methods-page
methods-page: $(INSTALLED)
	$(BIN)/snakemake $(UTD) config/compare/utd_mhad_methods.yaml -- results/utd_mhad_xsub/comparison.md
	{ sed '/^|/,$$d' docs/comparison_methods.md && sed -n '/^|/,$$p' results/utd_mhad_xsub/comparison.md; } > docs/comparison_methods.md.part
	mv docs/comparison_methods.md.part docs/comparison_methods.md

# docs/pictures/simulator.*, and the table of docs/simulator.md on the terminal
.PHONY: realism
realism: $(INSTALLED)
	$(BIN)/snakemake --cores $(CORES) --configfile config/compare/realism.yaml -- $(foreach data,utd_mhad simulated simulated_hard,results/$(data)/clips/frames.npy)
	$(BIN)/python benchmarks/realism.py --out docs/pictures/simulator "UTD-MHAD=results/utd_mhad/clips" \
	  "defaults=results/simulated/clips" "config/scale.yaml=results/simulated_hard/clips"

# docs/pictures/demo_fig4.png, the picture of README.md and the tour: Figure 4 of the demo, whose missing results are made first
.PHONY: pictures
pictures: $(INSTALLED)
	$(BIN)/snakemake --cores $(CORES) -- fig4
	cp results/figures/fig4.png docs/pictures/demo_fig4.png

docs: $(INSTALLED)
	$(BIN)/stars config reference > docs/configuration.md
	$(BIN)/stars config schema > config/schema.json

# docs/rebuild_keys.md: a dry run for every key of the configuration; minutes
rebuild-table: $(INSTALLED)
	$(BIN)/python tests/rebuild.py

# The pages of docs/ as a site in site/; broken links, in them or in the site, fail the build.
manual: $(VENV)/.docs
	rm -rf site
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs site
	$(BIN)/python tests/links.py README.md CHANGELOG.md CONTRIBUTING.md docs site

# All tests with the share of lines and branches that they run: on the terminal, line by line in coverage/index.html.
coverage: $(INSTALLED)
	rm -f .coverage .coverage.*
	OMP_NUM_THREADS=1 $(BIN)/python -m coverage run -m pytest -n $(CORES)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage html --quiet
	$(BIN)/python -m coverage report

constraints: $(INSTALLED) $(VENV)/.docs
	$(BIN)/pip install --quiet --constraint envs/constraints.txt --editable '.[onnx]'
	{ echo "# Exact versions of everything that is installed, so that a run next year is the run of today. Made by \`make constraints\`."; \
	  echo "# torch stands in torch-cpu.txt and torch-cuda.txt, triton in triton.txt."; \
	  $(BIN)/pip freeze --exclude torch --exclude triton --exclude-editable; } > envs/constraints.txt

$(INSTALLED): pyproject.toml envs/constraints.txt $(TORCH)
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "stars needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": name another with PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint envs/constraints.txt --requirement $(TORCH) --editable '.[workflow,dev]'
	@touch $@

$(VENV)/.docs: $(INSTALLED)
	$(BIN)/pip install --quiet --constraint envs/constraints.txt --editable '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) site coverage .coverage*

# Trained encoders, features and results; what was learnt of them stays in results/ledger
clean-results:
	@printf 'Delete every encoder, feature and result in results/? Type yes: '; read answer; test "$$answer" = yes
	rm -rf .snakemake $(filter-out results/ledger/,$(wildcard results/*/)) results/.work
