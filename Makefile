.PHONY: help run demo test nightly check format translations pins mutants mutmut chaos bench

# Neither the developer's shell nor .env may decide what is checked.
MANAGE = env -u DATABASE_URL -u DB_HOST -u DB_PORT -u DB_USER -u DB_PASSWORD -u DB_NAME TICKS_ENV_FILE= .venv/bin/python manage.py
SECRET = $$(.venv/bin/python -c 'import secrets; print(secrets.token_hex(32))')
PIN = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --no-python-downloads --upgrade \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make pins'

help:
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile

run: ## set up what is missing, then serve Ticks and deliver mails; HOST and PORT are honoured
	@tools/setup.sh && exec .venv/bin/python manage.py serve --prepare --deliver

demo: ## as `make run`, and load demo data if the database is empty, whichever it is
	@tools/setup.sh && exec .venv/bin/python manage.py serve --prepare --demo --deliver

test: ## the checks, then the tests on SQLite, on MariaDB and on a Galera cluster
	@tools/test.sh

nightly: ## long walks and conformance on SQLite and on MariaDB; SEED=N takes the same ones again
	@tools/nightly.sh

check: ## format, lint, import layers, migrations, deployment settings, OpenAPI schema
	@tools/setup.sh --test
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/lint-imports --no-logo
	$(MANAGE) makemigrations --check --dry-run
	@HTTPS=on DEBUG=off ALLOWED_HOSTS=tickets.example.org SECRET_KEY=$(SECRET) JWT_SECRET=$(SECRET) \
		$(MANAGE) check --deploy --fail-level WARNING
	$(MANAGE) spectacular --validate --fail-on-warn --file /dev/null

format: ## format the code and mend what the linter can
	@tools/setup.sh --test
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

translations: ## find the texts that are to be translated, for locale/*/LC_MESSAGES/django.po, and compile these files
	$(MANAGE) makemessages --all --ignore tests --no-wrap --no-obsolete --add-location file
	$(MANAGE) compilemessages --ignore .venv

pins: ## renew the pinned versions in requirements*.txt
	@tools/setup.sh --test
	$(PIN) requirements.in -o requirements.txt
	$(PIN) requirements-dev.in -o requirements-dev.txt

mutants: ## take away one guard after the other, and see a test turn red for each
	@tools/setup.sh --test --db
	.venv/bin/python tools/mutants.py $(MUTANTS)

mutmut: ## change each operator and constant of the rules and their neighbours, and see a test turn red for each
	@tools/setup.sh --test
	.venv/bin/python -m pip install --disable-pip-version-check --quiet mutmut==3.8.1
	TICKS_ENV_FILE= .venv/bin/mutmut run --max-children 2

bench: ## measure the server on MariaDB against hand-written SQL; BENCH="--quick" passes options
	@tools/setup.sh --test --db
	.venv/bin/python -m tools.bench $(BENCH)

chaos: ## book while all below is killed, stopped, cut off, filled up, then compare; CHAOS="--quick" passes options
	@tools/setup.sh --test --db
	.venv/bin/python -m tools.chaos $(CHAOS)
