from bookings.tests.model.seen import Seen, a_token
from bookings.tests.model.world import Answer, Login, Refused, User, World, said

# More refresh tokens of a login are not valid at once.
MAX_UNUSED = 10
TOO_SHORT = "This password is too short. It must contain at least 8 characters."


def authenticate(world: World, login: Login | None) -> User | None:
    """The caller; None for a guest. A token that is no longer valid is refused; its sender does not become a guest."""
    if login is None:
        return None
    if not login.is_good:
        world.note("dead token refused")
        raise Refused(401, "token_not_valid", "This token is not valid, or no longer; log in again.")
    return login.user


def user_of(world: World, login: Login | None) -> User:
    user = authenticate(world, login)
    if user is None:
        message = "Log in first, and send the header Authorization: Bearer <access token>."
        raise Refused(401, "not_authenticated", message)
    return user


def admin_of(world: World, login: Login | None) -> User:
    user = user_of(world, login)
    if not user.is_admin:
        raise Refused(403, "permission_denied", "Only an admin may do this.")
    return user


def register(world: World, username: str, email: str | None, password: str) -> User:
    if found(world, username):
        raise Refused(409, "username_taken", "This username is taken.", "username")
    if email and found(world, email):
        raise Refused(409, "email_taken", "This email is taken.", "email")
    refuse_short(password, "password")
    user = User(username, email and email.lower(), password)
    world.users.append(user)
    return user


def register_with_email(world: World, username: str, email: str, password: str) -> Answer:
    user = register(world, username, email, password)
    data = {"id": user.id, "username": user.username, "email": user.email}
    return said("User registered successfully.", data, status=201)


def found(world: World, name: str) -> User | None:
    """Finds the account by username first, then by email, in any case of letters."""
    for user in world.users:
        if user.username.lower() == name.lower():
            return user
    return found_by_email(world, name)


def found_by_email(world: World, email: str) -> User | None:
    for user in world.users:
        if user.email and user.email == email.lower():
            return user
    return None


def refuse_short(password: str, field: str) -> None:
    if len(password) < 8:
        raise Refused(400, "invalid", TOO_SHORT, field)


def check_password(user: User | None, password: str) -> User:
    if user is None or not user.is_active or user.password != password:
        raise Refused(401, "wrong_credentials", "The name or the password is wrong.")
    return user


def log_in(world: World, by: str, name: str, password: str) -> Answer:
    user = found_by_email(world, name) if by == "email" else found(world, name)
    token = a_token()
    login = Login(check_password(user, password), [a_token()], [token], [token])
    world.logins.append(login)
    return said("Login successful.", {"token": login.tokens[0], "refreshToken": login.refresh_tokens[0]})


def refresh(world: World, login: Login, token: Seen, *, is_repeated: bool = False) -> Answer:
    """Exchanges a token. A repetition comes at once after the first use; every other use comes long after it."""
    is_spent = token not in login.unused and not is_repeated
    if login.is_over or is_spent or not login.user.is_active:
        # A token that comes again so late has two holders, and one of them is a thief. So that login ends.
        changes = not login.is_over
        login.is_over = True
        raise Refused(401, "token_not_valid", "This token is no longer valid; log in again.", changes=changes)
    login.tokens.append(a_token())
    login.refresh_tokens.append(a_token())
    others = [other for other in login.unused if other is not token]
    login.unused = [*others, login.refresh_tokens[-1]][-MAX_UNUSED:]
    data = {"token": login.tokens[-1], "refreshToken": login.refresh_tokens[-1]}
    return said("Token refreshed successfully.", data)


def log_out(world: World, login: Login) -> Answer:
    changes = not login.is_over
    login.is_over = True
    if not login.user.is_active:
        raise Refused(401, "token_not_valid", "This token is no longer valid; log in again.", changes=changes)
    return said("Logged out successfully.")


def change_password(world: World, login: Login | None, current: str, new: str) -> Answer:
    user = user_of(world, login)
    if user.password != current:
        raise Refused(400, "wrong_password", "The current password is wrong.", "currentPassword")
    refuse_short(new, "newPassword")
    user.password = new
    for each in world.logins:
        if each.user is user:
            each.is_over = True
    return said("Password changed successfully; log in again.")


def read_me(world: World, login: Login | None) -> Answer:
    user = user_of(world, login)
    data = {
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "emailVerified": False,
        "isAdmin": user.is_admin,
        "language": None,
    }
    return said("User retrieved successfully.", data)
