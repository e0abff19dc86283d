from hypothesis import strategies as st

from accounts.models import LoginSession, User
from bookings.tests.model.accounts import change_password, log_out, read_me, refresh
from bookings.tests.model.bookings import list_bookings
from bookings.tests.model.world import Login
from bookings.tests.state import digest_of_all_tables
from bookings.tests.stateful.machine import CALLERS, CHOICES, MOSTLY, PASSWORD, PEOPLE, Machine, Sent, latest
from bookings.tests.stateful.moves import move

NAMES = st.sampled_from(["dora", "Dora", "ADA", "bob", "ada@example.org", "chief@example.org"])
EMAILS = st.sampled_from(["dora@example.org", "DORA@example.org", "ada@example.org", "Chief@Example.org"])
# One of the passwords is too short to be accepted.
PASSWORDS = st.sampled_from([PASSWORD, PASSWORD, PASSWORD, "nine lovely engines", "x9 q!"])


def let_an_hour_pass():
    """As if all refresh tokens that have been used had been used an hour earlier."""
    for session in LoginSession.objects.exclude(other_refresh_hashes=None):
        session.other_refresh_hashes = [
            [refresh_hash, first_use and first_use - 3600] for refresh_hash, first_use in session.other_refresh_hashes
        ]
        session.save()


class AccountRules(Machine):
    @move(2, username=NAMES, email=EMAILS, password=PASSWORDS, plainly=st.booleans())
    def register_somebody(self, username, email, password, plainly):
        if plainly:
            self.register_plainly(username, password)
        else:
            self.register(username, email, password)

    @move(2, who=st.sampled_from(PEOPLE), way=st.sampled_from(["username", "email", "plainly"]), is_right=MOSTLY)
    def log_somebody_in(self, who, way, is_right):
        user = self.user_called(who)
        password = user.password if user and is_right else "not " + PASSWORD
        if way == "plainly":
            self.log_in_plainly(who, password)
        else:
            # Bob has no email, and Dora perhaps no account: then nobody is found.
            self.log_in(way, who if way == "username" else f"{who}@EXAMPLE.org", password)

    def with_refresh_tokens(self):
        return [login for login in self.world.logins if login.refresh_tokens]

    @move(1, which=CHOICES, token=CHOICES)
    def refresh_tokens(self, which, token):
        login = latest(self.with_refresh_tokens(), which)
        token = latest(login.refresh_tokens, token)
        sent = Sent("refresh", "post", "/api/v1/auth/refresh", {"refreshToken": token.value})
        let_an_hour_pass()
        self.digest = digest_of_all_tables()
        self.ask(sent, None, refresh, login, token)
        # The token is used again, as by a client that has lost the answer.
        self.ask(sent, None, refresh, login, token, is_repeated=not login.is_over)

    @move(1, which=CHOICES, token=CHOICES)
    def log_somebody_out(self, which, token):
        login = latest(self.with_refresh_tokens(), which)
        body = {"refreshToken": latest(login.refresh_tokens, token).value}
        self.ask(Sent("log out", "post", "/api/v1/auth/logout", body), None, log_out, login)

    @move(2, who=CALLERS, new=PASSWORDS, is_right=MOSTLY)
    def change_a_password(self, who, new, is_right):
        login = self.login_of(who)
        current = login.user.password if login and is_right else "not " + PASSWORD
        body = {"currentPassword": current, "newPassword": new}
        sent = Sent("change password", "post", "/api/v1/auth/password", body)
        self.ask(sent, login, change_password, login, current, new)

    @move(2, which=CHOICES)
    def use_an_ended_login(self, which):
        login = latest([login for login in self.world.logins if not login.is_good], which)
        if login is None:
            return
        self.ask(Sent("read me", "get", "/api/v1/auth/me"), login, read_me, login)
        self.book("book", login, self.world.events[0], 1, "ada@example.org")
        sent = Sent("list bookings", "get", "/api/v1/booking")
        self.ask(sent, login, list_bookings, login)

    @move(1, who=CALLERS)
    def read_own_account(self, who):
        login = self.login_of(who)
        self.ask(Sent("read me", "get", "/api/v1/auth/me"), login, read_me, login)

    @move(2, who=st.sampled_from(PEOPLE), is_back=MOSTLY)
    def lock_out(self, who, is_back):
        """Staff do so in the admin's site; the next request must feel it."""
        login = self.login_of(who)
        self.switch(login, is_active=False)
        if is_back:
            self.switch(login, is_active=True)

    @move(2, who=st.sampled_from(PEOPLE))
    def switch_admin(self, who):
        """Makes a user an admin or no longer one. The chief is one again at once, since somebody must change events."""
        login = self.login_of(who)
        self.switch(login, is_admin=bool(login and not login.user.is_admin))
        if who == "chief":
            self.switch(login, is_admin=True)

    def switch(self, login: Login | None, **change):
        if login is None:
            return
        [(name, value)] = change.items()
        setattr(login.user, name, value)
        column = {"is_admin": "is_staff", "is_active": "is_active"}[name]
        User.objects.filter(pk=login.user.id.value).update(**{column: value})
        self.digest = digest_of_all_tables()
        self.ask(Sent("read me", "get", "/api/v1/auth/me"), login, read_me, login)
        self.ask(Sent("list bookings", "get", "/api/v1/booking"), login, list_bookings, login)
