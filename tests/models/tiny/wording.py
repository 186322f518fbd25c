"""Names and values that the tasks fill in: known ones, and invented ones that only copying can get right."""

from __future__ import annotations

from random import Random


def listed(text: str) -> tuple[str, ...]:
    """The comma-separated values of a text."""
    return tuple(text.split(","))


CITIES = listed(
    "Paris,London,Berlin,Madrid,Rome,Oslo,Vienna,Lisbon,Dublin,Athens,Cairo,Tokyo,Delhi,Lima,Quito,Ottawa,Boston,"
    "Chicago,Denver,Seattle,Austin,Sydney,Perth,Munich,Hamburg,Milan,Naples,Geneva,Zurich,Prague,Warsaw,Kyoto,"
    "Osaka,Mumbai,Nairobi,Lagos,Accra,Havana,Bogota,Santiago,Toronto,Montreal,New York,San Francisco,Mexico City"
)
PEOPLE = listed(
    "Ada,Alan,Grace,Linus,Maria,Ivan,Noor,Chen,Yuki,Omar,Lena,Hugo,Nina,Paul,Rosa,Tom,Eva,Max,Zoe,Ben,Anna,David,"
    "Sara,Leo,Mia,Sam,Ruth,Karl,Olga,Jean"
)
SERVICES = listed(
    "web,api,cart,login,search,billing,redis,worker,gateway,frontend,backend,orders,mailer,cache,proxy"
)
ITEMS = listed("apple,chair,lamp,book,phone,desk,bottle,bicycle,ring,clock,shirt,piano,tent,brush,kettle")
ZONES = listed(
    "UTC,Europe/Paris,Europe/Berlin,Asia/Tokyo,Asia/Delhi,America/Lima,America/Denver,Africa/Cairo"
)
ONSETS = listed("b,c,d,f,g,h,k,l,m,n,p,r,s,t,v,w,z,br,st,tr,gl")
VOWELS = listed("a,e,i,o,u,ai,ou")
CODAS = listed(",,n,r,l,s,x,k")


def invented(rng: Random, syllables: int | None = None) -> str:
    """A word of two or three random syllables that means nothing."""
    count = syllables or rng.choice((2, 2, 3))
    return "".join(rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(count)) + rng.choice(CODAS)


def pick(rng: Random, known: tuple[str, ...], *, fresh: bool = False, capital: bool = True) -> str:
    """A known value in six draws of ten, else an invented one; `fresh` always invents."""
    if not fresh and rng.random() < 0.6:
        return rng.choice(known)
    return invented(rng).capitalize() if capital else invented(rng)


def city(rng: Random, *, fresh: bool = False) -> str:
    """A city's name."""
    return pick(rng, CITIES, fresh=fresh)


def person(rng: Random, *, fresh: bool = False) -> str:
    """A given name."""
    return pick(rng, PEOPLE, fresh=fresh)


def service(rng: Random, *, fresh: bool = False) -> str:
    """A name such as a Kubernetes object has: lower case, sometimes with a number."""
    name = pick(rng, SERVICES, fresh=fresh, capital=False)
    return name if rng.random() < 0.6 else f"{name}-{rng.randint(1, 99)}"
