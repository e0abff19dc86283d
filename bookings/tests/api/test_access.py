"""Permissions: every route and method, as every kind of user. The table is the rule; the URLconf must agree with it."""

import json
import re
from operator import itemgetter

import pytest
from django.urls import URLResolver, get_resolver

from bookings.services import checks
from bookings.tests.personas import NAMES
from bookings.tests.state import digest_of_all_tables, undone
from ticks.server.health import PROBES

pytestmark = pytest.mark.django_db

# A guest's columns: with the token of another booking, and with the one of this. The admin is staff without
# any of Django's permissions, which only the staff's site asks for.
TABLE = """
#                                                            anon  other wrong right owner deact admin super
POST   /api/v1/auth/email/change                             401   400   401   401   400   401   400   400
POST   /api/v1/auth/email/change/confirm                     400   400   400   400   400   400   400   400
POST   /api/v1/auth/email/verification                       200   200   200   200   200   200   200   200
POST   /api/v1/auth/email/verify                             400   400   400   400   400   400   400   400
POST   /api/v1/auth/login                                    400   400   400   400   400   400   400   400
POST   /api/v1/auth/logout                                   400   400   400   400   400   400   400   400
GET    /api/v1/auth/me                                       401   200   401   401   200   401   200   200
PATCH  /api/v1/auth/me                                       401   200   401   401   200   401   200   200
POST   /api/v1/auth/password                                 401   400   401   401   400   401   400   400
POST   /api/v1/auth/password/reset                           200   200   200   200   200   200   200   200
POST   /api/v1/auth/password/reset/confirm                   400   400   400   400   400   400   400   400
POST   /api/v1/auth/refresh                                  400   400   400   400   400   400   400   400
POST   /api/v1/auth/register                                 201   201   201   201   201   201   201   201
GET    /api/v1/booking                                       401   200   401   401   200   401   200   200
POST   /api/v1/booking                                       201   201   201   201   201   401   201   201
DELETE /api/v1/booking/<str:pk>#user's                       404   404   404   404   200   401   200   200
DELETE /api/v1/booking/<str:pk>#guest's                      404   404   404   200   404   401   200   200
GET    /api/v1/booking/<str:pk>#user's                       404   404   404   404   200   401   200   200
GET    /api/v1/booking/<str:pk>#guest's                      404   404   404   200   404   401   200   200
GET    /api/v1/booking/<str:pk>/calendar.ics#user's          404   404   404   404   409   401   409   409
GET    /api/v1/booking/<str:pk>/calendar.ics#guest's         404   404   404   409   404   401   409   409
GET    /api/v1/booking/<str:pk>/tickets#user's               404   404   404   404   200   401   200   200
GET    /api/v1/booking/<str:pk>/tickets#guest's              404   404   404   200   404   401   200   200
GET    /api/v1/booking/<str:pk>/tickets.pdf#user's           404   404   404   404   200   401   200   200
GET    /api/v1/booking/<str:pk>/tickets.pdf#guest's          404   404   404   200   404   401   200   200
GET    /api/v1/booking/status/<str:pk>                       200   200   200   200   200   401   200   200
GET    /api/v1/changes                                       401   403   401   401   403   401   200   200
GET    /api/v1/event                                         401   200   401   401   200   401   200   200
POST   /api/v1/event                                         401   403   401   401   403   401   201   201
DELETE /api/v1/event/<str:pk>                                401   403   401   401   403   401   200   200
GET    /api/v1/event/<str:pk>                                401   200   401   401   200   401   200   200
PATCH  /api/v1/event/<str:pk>                                401   403   401   401   403   401   200   200
GET    /api/v1/event/<str:pk>/changes                        401   403   401   401   403   401   200   200

GET    /api                                                  200   200   200   200   200   200   200   200
GET    /api/                                                 200   200   200   200   200   200   200   200
GET    /api/v1                                               200   200   200   200   200   200   200   200
GET    /api/v1/                                              200   200   200   200   200   200   200   200
DELETE /api/.+                                               404   404   404   404   404   404   404   404
GET    /api/.+                                               404   404   404   404   404   404   404   404
PATCH  /api/.+                                               404   404   404   404   404   404   404   404
POST   /api/.+                                               404   404   404   404   404   404   404   404
PUT    /api/.+                                               404   404   404   404   404   404   404   404
DELETE /api/(?:events|users)(?:/|$)                          404   404   404   404   404   404   404   404
GET    /api/(?:events|users)(?:/|$)                          404   404   404   404   404   404   404   404
PATCH  /api/(?:events|users)(?:/|$)                          404   404   404   404   404   404   404   404
POST   /api/(?:events|users)(?:/|$)                          404   404   404   404   404   404   404   404
PUT    /api/(?:events|users)(?:/|$)                          404   404   404   404   404   404   404   404
GET    /api/docs                                             200   200   200   200   200   200   200   200
GET    /api/events/(?P<pk>[^/.]+)                            401   200   401   401   200   401   200   200
POST   /api/events/book                                      401   403   401   401   201   401   201   201
POST   /api/events/cancel                                    401   403   401   401   200   401   200   200
POST   /api/events/initialize                                401   403   401   401   403   401   201   201
GET    /api/schema                                           200   200   200   200   200   200   200   200
POST   /api/users/login                                      400   400   400   400   400   400   400   400
POST   /api/users/register                                   201   201   201   201   201   201   201   201

GET    /                                                     200   200   200   200   200   200   200   200
GET    /account/email/change/                               302   200   302   302   200   302   200   200
POST   /account/email/change/                               302   200   302   302   200   302   200   200
PUT    /account/email/change/                               302   405   302   302   405   302   405   405
GET    /account/email/change/sent/                          200   200   200   200   200   200   200   200
GET    /account/email/confirm/                              400   400   400   400   400   400   400   400
POST   /account/email/confirm/                              400   400   400   400   400   400   400   400
PUT    /account/email/confirm/                              405   405   405   405   405   405   405   405
GET    /account/email/confirm/done/                         200   200   200   200   200   200   200   200
GET    /account/email/verification/                         200   200   200   200   200   200   200   200
POST   /account/email/verification/                         200   200   200   200   200   200   200   200
PUT    /account/email/verification/                         405   405   405   405   405   405   405   405
GET    /account/email/verification/sent/                    200   200   200   200   200   200   200   200
GET    /account/email/verify/                               400   400   400   400   400   400   400   400
POST   /account/email/verify/                               400   400   400   400   400   400   400   400
PUT    /account/email/verify/                               405   405   405   405   405   405   405   405
GET    /account/email/verify/done/                          200   200   200   200   200   200   200   200
GET    /account/password/new/                               400   400   400   400   400   400   400   400
POST   /account/password/new/                               400   400   400   400   400   400   400   400
PUT    /account/password/new/                               405   405   405   405   405   405   405   405
GET    /account/password/new/done/                          200   200   200   200   200   200   200   200
GET    /account/password/reset/                             200   200   200   200   200   200   200   200
POST   /account/password/reset/                             200   200   200   200   200   200   200   200
PUT    /account/password/reset/                             405   405   405   405   405   405   405   405
GET    /account/password/reset/sent/                        200   200   200   200   200   200   200   200
GET    /api-auth/login/                                      200   200   200   200   200   200   200   200
POST   /api-auth/login/                                      200   200   200   200   200   200   200   200
PUT    /api-auth/login/                                      200   200   200   200   200   200   200   200
GET    /api-auth/logout/                                     405   405   405   405   405   405   405   405
POST   /api-auth/logout/                                     200   200   200   200   200   200   200   200
GET    /my/                                                  200   200   200   200   200   200   200   200
POST   /my/                                                  200   200   200   200   200   200   200   200
GET    /my/sent                                              200   200   200   200   200   200   200   200
GET    /my/<str:reference>/                                  404   404   404   404   404   404   404   404
GET    /my/<str:reference>/address                           404   404   404   404   404   404   404   404
POST   /my/<str:reference>/address                           404   404   404   404   404   404   404   404
GET    /my/<str:reference>/calendar.ics                      404   404   404   404   404   404   404   404
GET    /my/<str:reference>/cancel                            404   404   404   404   404   404   404   404
POST   /my/<str:reference>/cancel                            404   404   404   404   404   404   404   404
GET    /my/<str:reference>/tickets.pdf                       404   404   404   404   404   404   404   404
GET    /my/open/<str:reference>                              303   303   303   303   303   303   303   303
GET    /healthz                                              200   200   200   200   200   200   200   200
GET    /readyz                                               200   200   200   200   200   200   200   200

GET    /admin/                                               302   302   302   302   302   302   200   200
POST   /admin/                                               302   302   302   302   302   302   200   200
GET    /admin/(?P<app_label>auth|accounts|bookings|events)/  302   302   302   302   302   302   404   200
POST   /admin/(?P<app_label>auth|accounts|bookings|events)/  302   302   302   302   302   302   404   200
GET    /admin/(?P<url>.*)                                    302   302   302   302   302   302   404   404
POST   /admin/(?P<url>.*)                                    302   302   302   302   302   302   404   404
GET    /admin/accounts/apikey/                               302   302   302   302   302   302   403   200
POST   /admin/accounts/apikey/                               302   302   302   302   302   302   403   200
GET    /admin/accounts/apikey/<path:object_id>/              302   302   302   302   302   302   403   200
POST   /admin/accounts/apikey/<path:object_id>/              302   302   302   302   302   302   403   200
GET    /admin/accounts/apikey/<path:object_id>/change/       302   302   302   302   302   302   302   302
POST   /admin/accounts/apikey/<path:object_id>/change/       302   302   302   302   302   302   302   302
GET    /admin/accounts/apikey/<path:object_id>/delete/       302   302   302   302   302   302   403   403
POST   /admin/accounts/apikey/<path:object_id>/delete/       302   302   302   302   302   302   403   403
GET    /admin/accounts/apikey/<path:object_id>/history/      302   302   302   302   302   302   403   200
POST   /admin/accounts/apikey/<path:object_id>/history/      302   302   302   302   302   302   403   200
GET    /admin/accounts/apikey/<str:pk>/                      302   302   302   302   302   302   403   200
POST   /admin/accounts/apikey/<str:pk>/                      302   302   302   302   302   302   403   200
GET    /admin/accounts/apikey/<str:pk>/revoke/               302   302   302   302   302   302   403   200
POST   /admin/accounts/apikey/<str:pk>/revoke/               302   302   302   302   302   302   403   200
GET    /admin/accounts/apikey/add/                           302   302   302   302   302   302   403   200
POST   /admin/accounts/apikey/add/                           302   302   302   302   302   302   403   200
GET    /admin/accounts/user/                                 302   302   302   302   302   302   403   200
POST   /admin/accounts/user/                                 302   302   302   302   302   302   403   200
GET    /admin/accounts/user/<str:pk>/end-logins/             302   302   302   302   302   302   403   200
POST   /admin/accounts/user/<str:pk>/end-logins/             302   302   302   302   302   302   403   200
GET    /admin/accounts/user/<str:pk>/invite/                 302   302   302   302   302   302   403   200
POST   /admin/accounts/user/<str:pk>/invite/                 302   302   302   302   302   302   403   200
GET    /admin/accounts/user/<id>/password/                   302   302   302   302   302   302   403   200
POST   /admin/accounts/user/<id>/password/                   302   302   302   302   302   302   403   200
GET    /admin/accounts/user/<path:object_id>/                302   302   302   302   302   302   302   302
POST   /admin/accounts/user/<path:object_id>/                302   302   302   302   302   302   302   302
GET    /admin/accounts/user/<path:object_id>/change/         302   302   302   302   302   302   403   200
POST   /admin/accounts/user/<path:object_id>/change/         302   302   302   302   302   302   403   200
GET    /admin/accounts/user/<path:object_id>/delete/         302   302   302   302   302   302   403   403
POST   /admin/accounts/user/<path:object_id>/delete/         302   302   302   302   302   302   403   403
GET    /admin/accounts/user/<path:object_id>/history/        302   302   302   302   302   302   403   200
POST   /admin/accounts/user/<path:object_id>/history/        302   302   302   302   302   302   403   200
GET    /admin/accounts/user/add/                             302   302   302   302   302   302   403   200
POST   /admin/accounts/user/add/                             302   302   302   302   302   302   403   200
GET    /admin/auth/group/                                    302   302   302   302   302   302   403   200
POST   /admin/auth/group/                                    302   302   302   302   302   302   403   200
GET    /admin/auth/group/<path:object_id>/                   302   302   302   302   302   302   302   302
POST   /admin/auth/group/<path:object_id>/                   302   302   302   302   302   302   302   302
GET    /admin/auth/group/<path:object_id>/change/            302   302   302   302   302   302   403   200
POST   /admin/auth/group/<path:object_id>/change/            302   302   302   302   302   302   403   200
GET    /admin/auth/group/<path:object_id>/delete/            302   302   302   302   302   302   403   200
POST   /admin/auth/group/<path:object_id>/delete/            302   302   302   302   302   302   403   200
GET    /admin/auth/group/<path:object_id>/history/           302   302   302   302   302   302   403   200
POST   /admin/auth/group/<path:object_id>/history/           302   302   302   302   302   302   403   200
GET    /admin/auth/group/add/                                302   302   302   302   302   302   403   200
POST   /admin/auth/group/add/                                302   302   302   302   302   302   403   200
GET    /admin/autocomplete/                                  302   302   302   302   302   302   403   403
POST   /admin/autocomplete/                                  302   302   302   302   302   302   405   405
GET    /admin/bookings/booking/                              302   302   302   302   302   302   403   200
POST   /admin/bookings/booking/                              302   302   302   302   302   302   403   200
GET    /admin/bookings/booking/<path:object_id>/             302   302   302   302   302   302   403   200
POST   /admin/bookings/booking/<path:object_id>/             302   302   302   302   302   302   403   200
GET    /admin/bookings/booking/<path:object_id>/change/      302   302   302   302   302   302   302   302
POST   /admin/bookings/booking/<path:object_id>/change/      302   302   302   302   302   302   302   302
GET    /admin/bookings/booking/<path:object_id>/delete/      302   302   302   302   302   302   403   403
POST   /admin/bookings/booking/<path:object_id>/delete/      302   302   302   302   302   302   403   403
GET    /admin/bookings/booking/<path:object_id>/history/     302   302   302   302   302   302   403   200
POST   /admin/bookings/booking/<path:object_id>/history/     302   302   302   302   302   302   403   200
GET    /admin/bookings/booking/<str:pk>/                     302   302   302   302   302   302   403   200
POST   /admin/bookings/booking/<str:pk>/                     302   302   302   302   302   302   403   200
GET    /admin/bookings/booking/<str:pk>/again/               302   302   302   302   302   302   403   302
POST   /admin/bookings/booking/<str:pk>/again/               302   302   302   302   302   302   403   302
GET    /admin/bookings/booking/<str:pk>/cancel/              302   302   302   302   302   302   403   200
POST   /admin/bookings/booking/<str:pk>/cancel/              302   302   302   302   302   302   403   200
GET    /admin/bookings/booking/<str:pk>/move/                302   302   302   302   302   302   403   302
POST   /admin/bookings/booking/<str:pk>/move/                302   302   302   302   302   302   403   302
GET    /admin/bookings/booking/<str:pk>/serve/               302   302   302   302   302   302   403   302
POST   /admin/bookings/booking/<str:pk>/serve/               302   302   302   302   302   302   403   302
GET    /admin/bookings/booking/<str:pk>/tickets.pdf          302   302   302   302   302   302   403   200
POST   /admin/bookings/booking/<str:pk>/tickets.pdf          302   302   302   302   302   302   405   405
GET    /admin/bookings/booking/<str:pk>/transfer/            302   302   302   302   302   302   403   200
POST   /admin/bookings/booking/<str:pk>/transfer/            302   302   302   302   302   302   403   200
GET    /admin/bookings/booking/<str:pk>/void/                302   302   302   302   302   302   403   200
POST   /admin/bookings/booking/<str:pk>/void/                302   302   302   302   302   302   403   200
GET    /admin/bookings/booking/add/                          302   302   302   302   302   302   403   403
POST   /admin/bookings/booking/add/                          302   302   302   302   302   302   403   403
GET    /admin/bookings/booking/export/<str:kind>/            302   302   302   302   302   302   403   404
POST   /admin/bookings/booking/export/<str:kind>/            302   302   302   302   302   302   405   405
GET    /admin/bookings/ledgerentry/                          302   302   302   302   302   302   403   200
POST   /admin/bookings/ledgerentry/                          302   302   302   302   302   302   403   200
GET    /admin/bookings/ledgerentry/<path:object_id>/         302   302   302   302   302   302   302   302
POST   /admin/bookings/ledgerentry/<path:object_id>/         302   302   302   302   302   302   302   302
GET    /admin/bookings/ledgerentry/<path:object_id>/change/  302   302   302   302   302   302   403   200
POST   /admin/bookings/ledgerentry/<path:object_id>/change/  302   302   302   302   302   302   403   403
GET    /admin/bookings/ledgerentry/<path:object_id>/delete/  302   302   302   302   302   302   403   403
POST   /admin/bookings/ledgerentry/<path:object_id>/delete/  302   302   302   302   302   302   403   403
GET    /admin/bookings/ledgerentry/<path:object_id>/history/ 302   302   302   302   302   302   403   200
POST   /admin/bookings/ledgerentry/<path:object_id>/history/ 302   302   302   302   302   302   403   200
GET    /admin/bookings/ledgerentry/add/                      302   302   302   302   302   302   403   403
POST   /admin/bookings/ledgerentry/add/                      302   302   302   302   302   302   403   403
GET    /admin/bookings/ledgerentry/export/<str:kind>/        302   302   302   302   302   302   403   404
POST   /admin/bookings/ledgerentry/export/<str:kind>/        302   302   302   302   302   302   405   405
GET    /admin/bookings/webhook/                              302   302   302   302   302   302   403   200
POST   /admin/bookings/webhook/                              302   302   302   302   302   302   403   200
GET    /admin/bookings/webhook/<path:object_id>/             302   302   302   302   302   302   403   200
POST   /admin/bookings/webhook/<path:object_id>/             302   302   302   302   302   302   403   200
GET    /admin/bookings/webhook/<path:object_id>/change/      302   302   302   302   302   302   302   302
POST   /admin/bookings/webhook/<path:object_id>/change/      302   302   302   302   302   302   302   302
GET    /admin/bookings/webhook/<path:object_id>/delete/      302   302   302   302   302   302   403   403
POST   /admin/bookings/webhook/<path:object_id>/delete/      302   302   302   302   302   302   403   403
GET    /admin/bookings/webhook/<path:object_id>/history/     302   302   302   302   302   302   403   200
POST   /admin/bookings/webhook/<path:object_id>/history/     302   302   302   302   302   302   403   200
GET    /admin/bookings/webhook/<str:pk>/                     302   302   302   302   302   302   403   200
POST   /admin/bookings/webhook/<str:pk>/                     302   302   302   302   302   302   403   200
GET    /admin/bookings/webhook/<str:pk>/edit/                302   302   302   302   302   302   403   200
POST   /admin/bookings/webhook/<str:pk>/edit/                302   302   302   302   302   302   403   200
GET    /admin/bookings/webhook/<str:pk>/off/                 302   302   302   302   302   302   403   200
POST   /admin/bookings/webhook/<str:pk>/off/                 302   302   302   302   302   302   403   200
GET    /admin/bookings/webhook/<str:pk>/on/                  302   302   302   302   302   302   403   302
POST   /admin/bookings/webhook/<str:pk>/on/                  302   302   302   302   302   302   403   302
GET    /admin/bookings/webhook/<str:pk>/ping/                302   302   302   302   302   302   403   200
POST   /admin/bookings/webhook/<str:pk>/ping/                302   302   302   302   302   302   403   200
GET    /admin/bookings/webhook/<str:pk>/replay/              302   302   302   302   302   302   403   200
POST   /admin/bookings/webhook/<str:pk>/replay/              302   302   302   302   302   302   403   200
GET    /admin/bookings/webhook/<str:pk>/rotate/              302   302   302   302   302   302   403   200
POST   /admin/bookings/webhook/<str:pk>/rotate/              302   302   302   302   302   302   403   200
GET    /admin/bookings/webhook/add/                          302   302   302   302   302   302   403   200
POST   /admin/bookings/webhook/add/                          302   302   302   302   302   302   403   200
GET    /admin/bookings/webhook/message/<str:pk>/             302   302   302   302   302   302   403   200
POST   /admin/bookings/webhook/message/<str:pk>/             302   302   302   302   302   302   403   200
GET    /admin/bookings/webhook/message/<str:pk>/again/       302   302   302   302   302   302   403   200
POST   /admin/bookings/webhook/message/<str:pk>/again/       302   302   302   302   302   302   403   200
GET    /admin/bookings/webhook/message/<str:pk>/drop/        302   302   302   302   302   302   403   200
POST   /admin/bookings/webhook/message/<str:pk>/drop/        302   302   302   302   302   302   403   200
GET    /admin/events/event/                                  302   302   302   302   302   302   403   200
POST   /admin/events/event/                                  302   302   302   302   302   302   403   200
GET    /admin/events/event/<path:object_id>/                 302   302   302   302   302   302   403   200
POST   /admin/events/event/<path:object_id>/                 302   302   302   302   302   302   403   200
GET    /admin/events/event/<path:object_id>/change/          302   302   302   302   302   302   302   302
POST   /admin/events/event/<path:object_id>/change/          302   302   302   302   302   302   302   302
GET    /admin/events/event/<path:object_id>/delete/          302   302   302   302   302   302   403   403
POST   /admin/events/event/<path:object_id>/delete/          302   302   302   302   302   302   403   403
GET    /admin/events/event/<path:object_id>/history/         302   302   302   302   302   302   403   200
POST   /admin/events/event/<path:object_id>/history/         302   302   302   302   302   302   403   200
GET    /admin/events/event/<str:pk>/                         302   302   302   302   302   302   403   200
POST   /admin/events/event/<str:pk>/                         302   302   302   302   302   302   403   200
GET    /admin/events/event/<str:pk>/book/                    302   302   302   302   302   302   403   200
POST   /admin/events/event/<str:pk>/book/                    302   302   302   302   302   302   403   200
GET    /admin/events/event/<str:pk>/cancel/                  302   302   302   302   302   302   403   200
POST   /admin/events/event/<str:pk>/cancel/                  302   302   302   302   302   302   403   200
GET    /admin/events/event/<str:pk>/capacity/                302   302   302   302   302   302   403   200
POST   /admin/events/event/<str:pk>/capacity/                302   302   302   302   302   302   403   200
GET    /admin/events/event/<str:pk>/edit/                    302   302   302   302   302   302   403   200
POST   /admin/events/event/<str:pk>/edit/                    302   302   302   302   302   302   403   200
GET    /admin/events/event/<str:pk>/sales/                   302   302   302   302   302   302   403   200
POST   /admin/events/event/<str:pk>/sales/                   302   302   302   302   302   302   403   200
GET    /admin/events/event/<str:pk>/stop/                    302   302   302   302   302   302   403   302
POST   /admin/events/event/<str:pk>/stop/                    302   302   302   302   302   302   403   302
GET    /admin/events/event/<str:pk>/verify/                  302   302   302   302   302   302   405   405
POST   /admin/events/event/<str:pk>/verify/                  302   302   302   302   302   302   403   302
GET    /admin/events/event/<str:pk>/write/                   302   302   302   302   302   302   403   200
POST   /admin/events/event/<str:pk>/write/                   302   302   302   302   302   302   403   200
GET    /admin/events/event/add/                              302   302   302   302   302   302   403   200
POST   /admin/events/event/add/                              302   302   302   302   302   302   403   200
GET    /admin/events/event/export/<str:kind>/                302   302   302   302   302   302   403   404
POST   /admin/events/event/export/<str:kind>/                302   302   302   302   302   302   405   405
GET    /admin/events/event/import/                           302   302   302   302   302   302   403   200
POST   /admin/events/event/import/                           302   302   302   302   302   302   403   200
GET    /admin/jsi18n/                                        302   302   302   302   302   302   200   200
POST   /admin/jsi18n/                                        302   302   302   302   302   302   405   405
GET    /admin/login/                                         200   200   200   200   200   200   302   302
POST   /admin/login/                                         200   200   200   200   200   200   200   200
GET    /admin/logout/                                        302   302   302   302   302   302   405   405
POST   /admin/logout/                                        302   302   302   302   302   302   200   200
GET    /admin/password_change/                               302   302   302   302   302   302   200   200
POST   /admin/password_change/                               302   302   302   302   302   302   200   200
GET    /admin/password_change/done/                          302   302   302   302   302   302   200   200
POST   /admin/password_change/done/                          302   302   302   302   302   302   405   405
GET    /admin/r/<path:content_type_id>/<path:object_id>/     302   302   302   302   302   302   404   404
POST   /admin/r/<path:content_type_id>/<path:object_id>/     302   302   302   302   302   302   404   404
"""
ROWS = [line.split() for line in TABLE.splitlines() if line and not line.startswith("#")]
FORM = "application/x-www-form-urlencoded"
API_METHODS = ("get", "post", "put", "patch", "delete")


def body(world, route, method):
    event, owner = world.event, world.people["owner"]
    account = {"username": "new", "email": "new@example.org", "password": "a new pass 4711"}
    person = {"firstName": "A", "lastName": "B", "email": "a@example.org"}
    return {
        "POST /api/v1/auth/register": account,
        "POST /api/v1/auth/password": {"currentPassword": "wrong", "newPassword": "a new pass 4711"},
        "POST /api/v1/auth/password/reset": {"email": "owner@example.org"},
        "POST /api/v1/auth/email/verification": {"email": "owner@example.org"},
        "POST /api/v1/auth/email/change": {"email": "new@example.org", "currentPassword": "wrong"},
        "PATCH /api/v1/auth/me": {"email": "new@example.org"},
        "POST /api/v1/event": {"name": "New", "date": "2080-01-01", "totalTickets": 5},
        "PATCH /api/v1/event/<str:pk>": {"name": "Changed"},
        "POST /api/v1/booking": {"eventId": event.pk, "ticketsReserved": 1, **person},
        "POST /api/users/register": {"username": "new", "password": "a new pass 4711"},
        "POST /api/events/initialize": {"name": "New", "totalTickets": 5},
        "POST /api/events/book": {"eventId": world.other_event.pk, "userId": owner.pk},
        "POST /api/events/cancel": {"eventId": event.pk, "userId": owner.pk},
    }.get(f"{method} {route}")


def concrete(world, route):
    """The path of a route, with the ids of what is there."""
    route, _, whose = route.partition("#")
    objects = {
        "booking": world.bookings[whose or "user's"].pk,
        "event": world.event.pk,
        "user": world.people["owner"].pk,
        "ledgerentry": world.entry,
        "group": world.group,
        "message": world.message,
        "webhook": world.webhook,
        "apikey": world.api_key,
    }
    if route.startswith("/my/"):
        # The pages of a booking are open to nobody who has not opened the link, whoever is logged in.
        return route.replace("<str:reference>", world.bookings["guest's"].reference)
    named = [name for name in objects if f"/{name}/" in f"{route}/"]
    identity = world.event.pk if "status" in route or "/api/events/" in route else objects[named[0]] if named else 1
    route = route.replace("(?:events|users)(?:/|$)", "users/nothing")
    route = route.replace("(?P<app_label>auth|accounts|bookings|events)", "bookings")
    return re.sub(r"\(\?P<\w+>.*?\)(?=/|$)|<[\w:]+>", str(identity), route)


def answered():
    """Every method that a view of the URLconf answers, by route. A page of the admin answers them all alike."""
    for route, view in sorted(routes(get_resolver().url_patterns), key=itemgetter(0)):
        of_class = getattr(view, "cls", None) or getattr(view, "view_class", None)
        if route.startswith("/admin/") or of_class is None:
            methods = {"get", "post"}
        elif hasattr(view, "actions"):
            # DRF adds head when it is first called.
            methods = view.actions.keys() - {"head"}
        elif getattr(of_class, "schema", "") is None and "Unknown" in of_class.__name__:
            methods = API_METHODS
        else:
            methods = [name for name in API_METHODS if hasattr(of_class, name)]
        for method in methods:
            yield method.upper(), route
    for probe in PROBES:
        yield "GET", probe


def routes(patterns, prefix="/"):
    for pattern in patterns:
        route = prefix + str(pattern.pattern).removeprefix("^").removesuffix("$")
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        else:
            yield route, pattern.callback


@pytest.fixture(autouse=True)
def _busy_with_another_check():
    """A check of an inventory would run in a thread, which sees nothing of a test's transaction. So none begins."""
    with checks.checking:
        yield


def test_table_has_every_route_and_method_and_none_that_is_gone():
    assert sorted({(method, route.partition("#")[0]) for method, route, *_ in ROWS}) == sorted(set(answered()))


@pytest.mark.usefixtures("mails_on")
@pytest.mark.parametrize(("method", "route", "expected"), [(m, r, e) for m, r, *e in ROWS])
def test_access(world, method, route, expected):
    got, touched = {}, set()
    for name in NAMES:
        with undone():
            response = ask(world, name, method, route)
            got[name] = str(response.status_code)
            if response.status_code >= 400 and digest_of_all_tables() != world.digest:
                touched.add(name)

    assert got == dict(zip(NAMES, expected, strict=True))
    assert touched == set()


def ask(world, name, method, route):
    client, sent = world.clients[name], body(world, route, method)
    cookies = client.cookies.copy()
    content, content_type = (json.dumps(sent), "application/json") if sent else ("", FORM)
    response = client.generic(method, concrete(world, route), content, content_type=content_type)
    # A page that logs out deletes the cookie.
    client.cookies = cookies
    return response


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "FOO"])
def test_method_that_is_not_in_the_table_is_405_and_changes_nothing(world, method):
    known = {(row_method, route) for row_method, route, *_ in ROWS}
    routes = {route for _, route in known if route.startswith("/api/") and "#" not in route}

    answers, touched = {}, set()
    for route in sorted(route for route in routes if (method, route) not in known):
        with undone():
            answers[route] = world.clients["superuser"].generic(method, concrete(world, route)).status_code
            if digest_of_all_tables() != world.digest:
                touched.add(route)

    unknown = {"/api/.+": 404, "/api/(?:events|users)(?:/|$)": 404}
    assert answers == {route: unknown.get(route, 405) for route in answers}
    assert touched == set()


def test_staff_pages_take_another_method_for_a_look(world):
    touched = set()
    for route in sorted({row[1] for row in ROWS if row[1].startswith("/admin/") and row[1] != "/admin/logout/"}):
        with undone():
            status = world.clients["superuser"].put(concrete(world, route), {}).status_code
            assert status in (200, 302, 403, 404, 405), route
            if digest_of_all_tables() != world.digest:
                touched.add(route)

    assert touched == set()


@pytest.mark.parametrize("name", NAMES)
def test_head_is_answered_as_get_is(world, name):
    client = world.clients[name]
    for route in sorted({row[1] for row in ROWS if row[0] == "GET" and row[1].startswith("/api/v1/")}):
        path = concrete(world, route)

        assert client.head(path).status_code == client.get(path).status_code, route
        assert client.head(path).content == b""
