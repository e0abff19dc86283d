"""Pages of one event or one booking, and what staff do there: each shown before it is done, and told afterwards."""

from bookings.admin.bookings.actions import CancelTickets, MoveInLine, ServeOutOfTurn, TransferBooking
from bookings.admin.events.actions import BookForCaller, CancelWholeEvent, ChangeCapacity
from bookings.admin.events.edit import EditEvent
from bookings.admin.events.sales import OpenOrCloseSales

EVENT_ACTIONS = [BookForCaller, ChangeCapacity, OpenOrCloseSales, EditEvent, CancelWholeEvent]
BOOKING_ACTIONS = [CancelTickets, TransferBooking, MoveInLine, ServeOutOfTurn]
