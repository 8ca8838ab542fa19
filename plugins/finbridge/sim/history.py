"""What happens in a world, drawn from a seed: steps that stand for themselves, so that any can be left out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from random import Random

from finbridge.core.crashpoints import CRASH_POINTS
from finbridge.sim.mapping import BAD_AMOUNT, BAD_BY_RULE
from finbridge.sim.office import ACTS
from finbridge.sim.trouble import FAULTS


class Mode(StrEnum):
    """Unlimited faults: nothing wrong may ever be in the books. Bounded: they end, and everything must settle."""

    UNLIMITED = "unlimited"
    BOUNDED = "bounded"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens; ``seed`` rules what is left to chance in it."""

    number: int
    seed: int
    kind: str
    args: tuple[str | int | float, ...] = ()

    def __str__(self) -> str:
        return f"{self.number:>4} {self.kind} {' '.join(str(arg) for arg in self.args)}".rstrip()


@dataclass(frozen=True, slots=True)
class Setting:
    """What holds for a whole world."""

    begin: datetime
    skew: float  # of the OA's clock
    scrambled: bool  # the OA numbers what happens in one second backwards
    unique: bool  # finance refuses a second voucher under a key
    stays_closed: bool  # a period that was closed stays so


@dataclass(frozen=True, slots=True)
class History:
    """A world and what happens in it."""

    seed: int
    mode: Mode
    setting: Setting
    steps: tuple[Step, ...]


_BEGINNINGS = (
    datetime(2026, 11, 18, 1, 0, tzinfo=UTC),  # a morning in Shanghai
    datetime(2026, 11, 18, 15, 57, tzinfo=UTC),  # before midnight there
    datetime(2026, 11, 30, 15, 55, tzinfo=UTC),  # before midnight at the end of a month
)
_VERBS = ("collect", "collect", "check", "deliver", "deliver", "write_back", *("what is due",) * 6)
_WORKERS = ("w1", "w2", "w3")
_AMOUNTS = ("100", "100", "100", "200", "200", "300", "0", BAD_AMOUNT, BAD_BY_RULE)
_PERSONS = ("E1", "E2")
_JUMPS = (2.0, 3.0, 5.0, 10.0, 20.0, 45.0, 70.0, 100.0, 400.0)
_LONG_JUMPS = (1000.0, 4000.0, 90_000.0, 200_000.0, 3_456_000.0)
_ORDINARY = ("submit_approve", "submit_approve", "submit", "approve", "pay", "request")
#: How often faults of a kind of place are drawn: those of finance are the heart of the matter.
_PLACES = {"finance.post": 45, "finance.find": 8, "hub.": 25, "oa.": 20, "judge": 2}


def draw(seed: int, steps: int, mode: Mode) -> History:
    """The history of a seed. Each world has its own taste for acts and faults, so that worlds differ in kind."""
    random = Random(f"{mode}:{seed}")  # noqa: S311  # a simulation's chance, not a secret
    setting = Setting(
        begin=random.choice(_BEGINNINGS),
        skew=random.choice((0.0, 0.0, 300.0, -300.0)),
        scrambled=random.random() < 0.2,
        unique=random.random() < 0.5,
        stays_closed=random.random() < 0.3,
    )
    taste = _Taste(random, setting, mode)
    made = [taste.begin(number) for number in range(random.randrange(1, 4))]
    made += [taste.step(number) for number in range(len(made), steps)]
    return History(seed, mode, setting, tuple(made))


class _Taste:
    """What this world likes."""

    def __init__(self, random: Random, setting: Setting, mode: Mode) -> None:
        self.random = random
        many = 8 if mode is Mode.UNLIMITED else 4
        self.faults = [self._fault() for _ in range(random.randrange(1, many))]
        self.points = random.sample(list(CRASH_POINTS), random.randrange(1, 5))
        self.acts = [*_ORDINARY, *random.sample(ACTS, random.randrange(0, 5))]
        if random.random() < 0.4:  # a world of second thoughts
            self.acts += [random.choice(("reject", "withdraw"))] * 2
        if random.random() < 0.85:
            self.acts = [act for act in self.acts if act != "strange"]
        self.amounts = [*random.sample(_AMOUNTS, random.randrange(1, 5)), "100", "200"]
        self.lag = random.random() < 0.3
        people = ["period", "block", "hand_reverse", "hand_key"]
        self.people = random.sample(people, random.randrange(0, 3))
        self.weights = {
            "verb": 50.0,
            "turns": 14.0,
            "act": 12.0,
            "jump": 8.0,
            "create": 2.0,
            "arm": random.choice((0.0, 6.0, 14.0)),
            "crash": random.choice((0.0, 3.0, 8.0)),
            "kill": random.choice((0.0, 2.0, 6.0)),
            "freeze": random.choice((0.0, 2.0, 5.0)),
            "people": 3.0 if self.people else 0.0,
            "hasty": random.choice((0.0, 1.0, 5.0)),
            "outage": random.choice((0.0, 0.0, 1.5)),
            "long_jump": random.choice((0.0, 0.0, 2.0)),
            "restore": random.choice((0.0, 0.0, 2.0)) if setting.unique else 0.0,
            "backup": 2.0 if setting.unique else 0.0,
        }

    def _fault(self) -> tuple[str, str]:
        kind = self.random.choices(list(_PLACES), list(_PLACES.values()))[0]
        place = self.random.choice([place for place in FAULTS if place.startswith(kind)])
        return place, self.random.choice(FAULTS[place])

    def begin(self, number: int) -> Step:
        return self._made(number, "create", (self.random.choice(self.amounts), self.random.choice(_PERSONS)))

    def step(self, number: int) -> Step:
        kind = self.random.choices(list(self.weights), list(self.weights.values()))[0]
        return getattr(self, f"_{kind}")(number)  # type: ignore[no-any-return]  # one method a kind, all return a Step

    def _made(self, number: int, kind: str, args: tuple[str | int | float, ...] = ()) -> Step:
        return Step(number, self.random.getrandbits(32), kind, args)

    def _verb(self, number: int) -> Step:
        return self._made(number, "verb", (self.random.choice(_WORKERS), self.random.choice(_VERBS)))

    def _turns(self, number: int) -> Step:
        return self._made(number, "turns", (self.random.choice((1, 3, 8, 20, 60)),))

    def _act(self, number: int) -> Step:
        args = (self.random.randrange(6), self.random.choice(self.acts), self.random.choice(self.amounts))
        if self.lag and self.random.random() < 0.3:
            return self._made(number, "act_late", (*args, self.random.choice((5.0, 60.0, 400.0))))
        return self._made(number, "act", args)

    def _hasty(self, number: int) -> Step:
        return self._made(number, "hasty", (self.random.randrange(6), self.random.choice(_WORKERS)))

    def _outage(self, number: int) -> Step:
        return self._made(number, "outage", (self.random.randrange(6), self.random.choice(_LONG_JUMPS)))

    def _jump(self, number: int) -> Step:
        return self._made(number, "jump", (self.random.choice(_JUMPS),))

    def _long_jump(self, number: int) -> Step:
        return self._made(number, "jump", (self.random.choice(_LONG_JUMPS),))

    def _create(self, number: int) -> Step:
        return self.begin(number)

    def _arm(self, number: int) -> Step:
        return self._made(number, "arm", self.random.choice(self.faults))

    def _crash(self, number: int) -> Step:
        return self._made(number, "crash", (self.random.choice(self.points),))

    def _kill(self, number: int) -> Step:
        return self._made(number, "kill", (self.random.choice(_WORKERS),))

    def _freeze(self, number: int) -> Step:
        return self._made(number, "freeze", (self.random.choice(_WORKERS), self.random.choice((20.0, 70.0, 150.0))))

    def _people(self, number: int) -> Step:
        return self._made(number, self.random.choice(self.people), (self.random.randrange(6),))

    def _backup(self, number: int) -> Step:
        return self._made(number, "backup")

    def _restore(self, number: int) -> Step:
        return self._made(number, "restore")
