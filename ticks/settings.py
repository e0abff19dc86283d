import importlib.util
import logging
import os
from datetime import timedelta
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from ticks.environment import Environment

BASE_DIR = Path(__file__).resolve().parent.parent
environment = Environment(BASE_DIR)
LOCAL_DIR = environment.local_dir

DEBUG = environment.switch("DEBUG", False)
HTTPS = environment.switch("HTTPS", False)
PUBLIC_EVENTS = environment.switch("PUBLIC_EVENTS", False)
THROTTLE_ENABLED = environment.switch("THROTTLE_ENABLED", True)
TRUSTED_PROXIES = environment.whole("TRUSTED_PROXIES", 0, 0, 16)
# New events have this zone unless another one is chosen, and what belongs to no event is shown in it.
EVENT_TIME_ZONE = environment.time_zone("EVENT_TIME_ZONE", "UTC")
# docs/api.md promises that keys are kept for a day.
IDEMPOTENCY_HOURS = environment.whole("IDEMPOTENCY_HOURS", 24, 24, 24 * 366)
HOST = environment.text("HOST", "127.0.0.1")
PORT = environment.whole("PORT", 8000, 1, 65535)
WORKERS = environment.whole("WORKERS", min(os.cpu_count() or 1, 8), 1, 256)
# These threads of a worker carry out batches.
BATCH_THREADS = 3
# A worker has these database connections besides those of its THREADS: for the threads that carry out batches, and for
# the thread that verifies an event's inventory. The thread that looks for a lost database takes the place of a lost
# connection.
OTHER_CONNECTIONS = BATCH_THREADS + 1
# These connections are for commands, backups, and a person who looks for the cause of a problem.
RESERVED_CONNECTIONS = 5
# Requests that wait for the same event are carried out together, so more threads make larger batches. By default there
# are as many as fit into the 151 connections that a database allows by default, but at least eight.
DEFAULT_THREADS = (151 - RESERVED_CONNECTIONS) // WORKERS - OTHER_CONNECTIONS
THREADS = environment.whole("THREADS", max(8, min(32, DEFAULT_THREADS)), 1, 256)
# Requests that move tickets wait for each other in the process, and are carried out in batches.
GROUP_BOOKING = environment.switch("GROUP_BOOKING", True)
QUEUE_LENGTH = environment.whole("QUEUE_LENGTH", 2000, 1, 100_000)
QUEUE_SECONDS = environment.whole("QUEUE_SECONDS", 3, 1, 60)
# Tickets as PDF take characters that the fonts in bookings/documents/fonts lack from these fonts.
TICKET_FONTS = environment.fonts("TICKET_FONTS")
# The fast path answers plain valid bookings, and reads of an event's status, in front of Django.
FAST_PATH = environment.switch("FAST_PATH", True)
# A request's body must arrive in this time.
BODY_SECONDS = environment.whole("BODY_SECONDS", 10, 1, 300)
ALLOWED_HOSTS = environment.hosts("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
# Pages of these origins may call the API from a browser.
CORS_ALLOWED_ORIGINS = environment.origins("CORS_ALLOWED_ORIGINS")
# These limit the requests of guests by address, those of users by account, and those of servers by API key. A guest's
# bookings count as requests and have a limit of their own. Logins are limited by address, right ones too.
THROTTLE_RATES = {
    "guest": environment.rate("THROTTLE_GUEST", "300/min"),
    "user": environment.rate("THROTTLE_USER", "600/min"),
    "guest_booking": environment.rate("THROTTLE_GUEST_BOOKING", "60/min"),
    "login": environment.rate("THROTTLE_LOGIN", "60/min"),
    "api_key": environment.rate("THROTTLE_API_KEY", "6000/min"),
}

# Database

# One statement waits this long for a lock; 1 is the least that MySQL allows.
LOCK_SECONDS = 1
DATABASE = environment.database()
EMBEDDED = DATABASE["ENGINE"] == "django.db.backends.sqlite3"
# This is the database if none is set. `make run` fills it with demo data.
EMBEDDED_DEFAULT = DATABASE["NAME"] == str(BASE_DIR / "db.sqlite3")
# These are the options that `ticks.server.worker` adds. With them a request is answered within three seconds even if
# the database hangs; a command may take its time.
REQUEST_DATABASE_OPTIONS = {}
# The driver waits longer than a statement waits for a row's or a table's lock. Otherwise a lock that somebody holds
# would look like a database that is away.
REQUEST_DATABASE_SECONDS = environment.whole("DB_SECONDS", LOCK_SECONDS + 1, LOCK_SECONDS + 1, 60)
if EMBEDDED:
    DATABASE["OPTIONS"] = {
        # Writers queue from BEGIN on. In the default, DEFERRED, two transactions that read and then write fail with
        # "database is locked", whatever the timeout.
        "transaction_mode": "IMMEDIATE",
        "timeout": 5,
        # synchronous stays FULL: an acknowledged booking survives a power cut.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
    }
else:
    if importlib.util.find_spec("MySQLdb") is None:
        raise ImproperlyConfigured("mysqlclient is not installed; run `make run` and follow what it says.")
    DATABASE["ENGINE"] = "ticks.db.mysql"
    DATABASE["OPTIONS"] = {
        **DATABASE.get("OPTIONS", {}),
        "charset": "utf8mb4",
        # A lock on the event row orders all writers; what they read after it must be what the
        # writer before them committed. REPEATABLE READ would show an older snapshot.
        "isolation_level": "read committed",
        # A statement waits for a lock for a second; then the transaction is tried again (ticks.db.transactions).
        "init_command": (
            "SET SESSION sql_mode='STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION',"
            f" innodb_lock_wait_timeout={LOCK_SECONDS}"
        ),
        "connect_timeout": 10,
    }
    DATABASE["TEST"] = {"CHARSET": "utf8mb4"}
    REQUEST_DATABASE_OPTIONS = {
        "init_command": f"{DATABASE['OPTIONS']['init_command']}, lock_wait_timeout={LOCK_SECONDS}",
        "connect_timeout": 1,
        "read_timeout": REQUEST_DATABASE_SECONDS,
        "write_timeout": REQUEST_DATABASE_SECONDS,
    }
DATABASES = {"default": {**DATABASE, "CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# The library's own table is left out (`ticks.apps.ApiKeyLibraryConfig`).
MIGRATION_MODULES = {"rest_framework_api_key": None}

# Secrets and tokens

SECRET_KEY = environment.secret("SECRET_KEY", may_generate=True)
JWT_SECRET = environment.secret("JWT_SECRET", may_generate=EMBEDDED)
# The codes of tickets are signed with it. Those that a former one has signed are valid as long as it is named here.
TICKET_SECRET = environment.secret("TICKET_SECRET", may_generate=True)
TICKET_SECRET_FALLBACKS = environment.former_secrets("TICKET_SECRET_FALLBACKS")
GENERATED_SECRETS = environment.generated_secrets
if SECRET_KEY == JWT_SECRET:
    raise ImproperlyConfigured("SECRET_KEY and JWT_SECRET are the same; set two different secrets.")
if TICKET_SECRET in (SECRET_KEY, JWT_SECRET):
    raise ImproperlyConfigured("TICKET_SECRET is the same as another secret; set it to one of its own.")
SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "SIGNING_KEY": JWT_SECRET,
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=30),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=14),
    # The clocks of several hosts differ by some seconds. So a token is valid for this long before and after its time.
    "LEEWAY": timedelta(seconds=10),
    "USER_ID_CLAIM": "sub",
}

# Mails

MAIL_SERVER = environment.mail_server()
# Without a mail server the embedded database writes mails to files, and any other one tells nobody.
MAIL_ENABLED = bool(MAIL_SERVER) or EMBEDDED
EMAIL_FILE_PATH = str(LOCAL_DIR / "mails")
EMAIL_BACKEND = MAIL_SERVER.get("EMAIL_BACKEND", "django.core.mail.backends.filebased.EmailBackend")
EMAIL_HOST, EMAIL_PORT = MAIL_SERVER.get("EMAIL_HOST", ""), MAIL_SERVER.get("EMAIL_PORT", 25)
EMAIL_HOST_USER = MAIL_SERVER.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = MAIL_SERVER.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS, EMAIL_USE_SSL = MAIL_SERVER.get("EMAIL_USE_TLS", False), MAIL_SERVER.get("EMAIL_USE_SSL", False)
# `ticks.mails` leaves time for several of these before a lease ends.
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = environment.sender("DEFAULT_FROM_EMAIL", "" if MAIL_SERVER else "Ticks <ticks@localhost>")
# Links in mails begin with it, and never with what a request says. With a mail server it has no default.
SITE_URL = environment.site(
    "SITE_URL",
    default="" if MAIL_SERVER else f"http://127.0.0.1:{PORT}",
    hosts=ALLOWED_HOSTS,
    is_https=HTTPS,
)
# Facts of one booking within this time are told in one mail.
MAIL_DELAY_SECONDS = environment.whole("MAIL_DELAY_SECONDS", 60, 0, 3600)
MAIL_DAYS = environment.whole("MAIL_DAYS", 30, 7, 3660)
MAIL_TEMPLATES = environment.folder("MAIL_TEMPLATES")
if MAIL_SERVER:
    MAIL_STATUS = f"Mails go to {EMAIL_HOST}, port {EMAIL_PORT}."
elif MAIL_ENABLED:
    MAIL_STATUS = f"EMAIL_URL is not set, so mails are written to files in {EMAIL_FILE_PATH}."
else:
    MAIL_STATUS = "EMAIL_URL is not set, so nobody is told anything by mail, also not later of what happens now."
# These functions say what is wrong with a server that is ready all the same. `/readyz` shows it.
READINESS_WARNINGS = [
    "bookings.services.reports.delivery_warnings",
    "bookings.services.webhooks.lag.webhook_warnings",
]

# Webhooks

# on lets webhooks go to private addresses, and by http.
WEBHOOK_ALLOW_PRIVATE = environment.switch("WEBHOOK_ALLOW_PRIVATE", False)
WEBHOOK_DAYS = environment.whole("WEBHOOK_DAYS", 30, 7, 3660)

# Applications

INSTALLED_APPS = [
    "ticks.apps.TicksConfig",
    # It is before our apps, so that they can take its page off the staff's site.
    "ticks.apps.ApiKeyLibraryConfig",
    "accounts",
    "events",
    "bookings",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "corsheaders",
    "ticks.apps.StaffSiteConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "ticks.logging.RequestLog",
    "ticks.api.headers.ProtectiveHeaders",
    "ticks.server.health.Probes",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
if CORS_ALLOWED_ORIGINS:
    # It stands before everything that refuses, so that a page can read refusals too.
    MIDDLEWARE.insert(
        MIDDLEWARE.index("django.middleware.security.SecurityMiddleware"), "corsheaders.middleware.CorsMiddleware"
    )
ROOT_URLCONF = "ticks.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": MAIL_TEMPLATES,
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "libraries": {"staff": "bookings.admin.formatting"},
        },
    }
]
# The API and the staff's site are in this language, whatever a browser asks for: there is no LocaleMiddleware.
LANGUAGE_CODE = "en"
# What people get by mail or as a file is in one of these. `make translations` finds the texts to translate.
LANGUAGES = [("en", "English"), ("de", "German")]
LOCALE_PATHS = [BASE_DIR / "locale"]
# They get it in this language if neither their account nor their booking has one.
DEFAULT_LANGUAGE = environment.word("DEFAULT_LANGUAGE", LANGUAGE_CODE, [code for code, _ in LANGUAGES])
# Times are converted where they are shown or read, since each event has a zone of its own.
TIME_ZONE = "UTC"
USE_TZ = True

# Static files. The server finds them in the applications and serves them itself. It sends the files of packages
# compressed if `tools/setup.sh` has put a compressed copy beside each.

STATIC_URL = "/static/"
STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.AppDirectoriesFinder"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 600
WHITENOISE_ALLOW_ALL_ORIGINS = False

# Accounts

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.NameOrEmailBackend"]
PASSWORD_HASHERS = ["accounts.backends.OwaspArgon2"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
# "required" lets nobody log in before the link in a mail was opened; "asked" sends the link and refuses nothing.
EMAIL_VERIFICATION = environment.word("EMAIL_VERIFICATION", "asked", ["off", "asked", "required"])
if EMAIL_VERIFICATION == "required" and not MAIL_ENABLED:
    raise ImproperlyConfigured("EMAIL_VERIFICATION is required, but no mail can be sent; set EMAIL_URL too.")
LOGIN_URL = "/api-auth/login/"
LOGIN_REDIRECT_URL = "/"

# HTTP

BODY_LIMIT = 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = BODY_LIMIT
FILE_UPLOAD_MAX_MEMORY_SIZE = BODY_LIMIT
# Sessions are kept with their account, so that all logins of one account can be ended.
SESSION_ENGINE = "accounts.sessions"
# A session lasts a working day, from the login on.
SESSION_COOKIE_AGE = 12 * 3600
# Forms carry the token; no script of ours reads the cookie.
CSRF_COOKIE_HTTPONLY = True
SECURE_SSL_REDIRECT = HTTPS
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
if HTTPS:
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    # Browsers accept such a cookie only from this very host over TLS, and not from a neighbour under the same domain.
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"
# HSTS is for this host alone. Ticks must not decide for its subdomains, or about browsers' preload lists.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# API

# The pages of other origins send a token, and no cookie. The docs are a page, which is for people.
CORS_URLS_REGEX = r"^/api/(?!docs)"
CORS_ALLOW_METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PATCH", "DELETE"]
CORS_ALLOW_HEADERS = [
    *("accept", "authorization", "content-type", "booking-token", "idempotency-key", "if-match", "if-none-match"),
    "x-request-id",
]
CORS_EXPOSE_HEADERS = ["ETag", "Location", "Retry-After", "Idempotent-Replayed", "X-Request-ID"]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.BearerAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": [
        "ticks.api.parsers.JSONParser",
        "ticks.api.parsers.FormParser",
        "ticks.api.parsers.MultiPartParser",
    ],
    "DEFAULT_RENDERER_CLASSES": [
        "ticks.api.renderers.JSONRenderer",
        "ticks.api.renderers.BrowsableAPIRenderer",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["ticks.api.throttling.CallerThrottle"],
    "DEFAULT_THROTTLE_RATES": THROTTLE_RATES,
    "DEFAULT_PAGINATION_CLASS": "ticks.api.pagination.Pages",
    "DEFAULT_SCHEMA_CLASS": "ticks.api.schema.Operation",
    "EXCEPTION_HANDLER": "accounts.authentication.answer_exception",
    "NON_FIELD_ERRORS_KEY": "body",
    "NUM_PROXIES": TRUSTED_PROXIES,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Ticks",
    "VERSION": "1.0.0",
    "DESCRIPTION": (
        "Book event tickets: never oversold, waitlists served in order, safe to retry.\n\n"
        "A number may also be sent as a decimal string, and a time as a bare date, which is its midnight in the time "
        "zone of the event. Each error lists the codes that its route can answer. Any route can also answer 400 "
        "`malformed` or `bad_host`, 405 `method_not_allowed`, 408 `request_timeout` and 500 `server_error`."
    ),
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SCHEMA_PATH_PREFIX": "/api/(v1/)?",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_SUFFIX": "",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "ticks.api.schema.merge_empty_texts",
    ],
    # The tags stand in the order of the page.
    "TAGS": [{"name": name} for name in ("Events", "Bookings", "Changes", "Accounts", "One-ticket contract")],
    "ENUM_NAME_OVERRIDES": {"ChangeKind": "bookings.enums.LedgerKind"},
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": STATIC_URL + "ticks/favicon.svg",
    "SWAGGER_UI_SETTINGS": {
        "persistAuthorization": True,
        "displayRequestDuration": True,
        # By default it sends the schema's address to validator.swagger.io, and shows the badge that comes back.
        "validatorUrl": None,
    },
}

# Logs

LOG_DIR = BASE_DIR / environment.text("LOG_DIR", "logs")
try:
    LOG_DIR.mkdir(parents=True, exist_ok=True)
    with (LOG_DIR / "combined.log").open("a"):
        pass
except OSError as error:
    raise ImproperlyConfigured(f"LOG_DIR: {LOG_DIR} cannot be written ({error.strerror}).") from error
# A line that cannot be written is dropped. Python's report of the failure would contain the raw message, secrets
# included.
logging.raiseExceptions = False
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"skip_503": {"()": "ticks.logging.Skip503"}},
    "handlers": {"log": {"class": "ticks.logging.LogHandler", "filename": str(LOG_DIR / "combined.log")}},
    "root": {"handlers": ["log"], "level": "INFO"},
    "loggers": {
        # Every request has its line from ticks.request; Django's would double it.
        "django.request": {"level": "ERROR", "filters": ["skip_503"]},
        "django.security": {"level": "ERROR"},
        # Any scanner can ask for another host. A traceback for each such request would bury the other lines.
        "django.security.DisallowedHost": {"level": "CRITICAL"},
    },
}
