"""Steps of a walk, by weight.

Hypothesis chooses among the rules of a machine by swarms: it leaves out many in each example, and the
walks that are too short for that hardly book. So the machine has one rule, and its argument is the step.
"""

from hypothesis import strategies as st


def move(weight: int = 1, **arguments):
    """Makes a method a step that is taken `weight` times as often as another."""

    def mark(method):
        method.move = (weight, arguments)
        return method

    return mark


def moves_of(machine: type) -> st.SearchStrategy:
    found = {name: method.move for name, method in vars_of(machine).items() if hasattr(method, "move")}
    names = [name for name, (weight, _) in found.items() for _ in range(weight)]
    return st.sampled_from(names).flatmap(lambda name: st.fixed_dictionaries({"move": st.just(name), **found[name][1]}))


def vars_of(machine: type) -> dict:
    return {name: value for base in reversed(machine.__mro__) for name, value in vars(base).items()}
