"""Questions with one right answer each: capitals, the world, Kubernetes, and texts worth streaming."""

from __future__ import annotations

from random import Random

import wording
from conversation import Conversation, system, user

CAPITALS = dict(
    pair.split(":")
    for pair in wording.listed(
        "France:Paris,Germany:Berlin,Italy:Rome,Spain:Madrid,Portugal:Lisbon,Norway:Oslo,Sweden:Stockholm,"
        "Finland:Helsinki,Denmark:Copenhagen,Poland:Warsaw,Austria:Vienna,Greece:Athens,Ireland:Dublin,Hungary:Budapest,"
        "Belgium:Brussels,Iceland:Reykjavik,Ukraine:Kyiv,Turkey:Ankara,Egypt:Cairo,Kenya:Nairobi,Ghana:Accra,"
        "Morocco:Rabat,Japan:Tokyo,China:Beijing,India:New Delhi,Thailand:Bangkok,Vietnam:Hanoi,Nepal:Kathmandu,"
        "Iran:Tehran,Iraq:Baghdad,Canada:Ottawa,Mexico:Mexico City,Cuba:Havana,Peru:Lima,Chile:Santiago,Brazil:Brasilia,"
        "Argentina:Buenos Aires,Colombia:Bogota,Australia:Canberra,New Zealand:Wellington"
    )
)
CAPITAL_PHRASES = (
    "What is the capital of {country}?",
    "Which city is the capital of {country}?",
    "Tell me the capital of {country}.",
    "Name the capital city of {country}.",
)
COUNTRY_PHRASES = ("{capital} is the capital of which country?", "Which country has the capital {capital}?")

WORLD = {
    "How many days are in a week?": "A week has 7 days.",
    "How many months are in a year?": "A year has 12 months.",
    "How many hours are in a day?": "A day has 24 hours.",
    "How many minutes are in an hour?": "An hour has 60 minutes.",
    "How many legs does a spider have?": "A spider has 8 legs.",
    "How many sides does a triangle have?": "A triangle has 3 sides.",
    "How many continents are there?": "There are 7 continents.",
    "What color is the sky?": "The sky is blue.",
    "What color is grass?": "Grass is green.",
    "What color is snow?": "Snow is white.",
    "Which planet is the largest?": "Jupiter is the largest planet.",
    "Which planet is closest to the Sun?": "Mercury is the planet closest to the Sun.",
    "Which planet is known as the red planet?": "Mars is the red planet.",
    "What is the chemical symbol of water?": "Water is H2O.",
    "What is the chemical symbol of gold?": "The symbol of gold is Au.",
    "What is the chemical symbol of iron?": "The symbol of iron is Fe.",
    "At what temperature does water boil?": "Water boils at 100 degrees Celsius.",
    "At what temperature does water freeze?": "Water freezes at 0 degrees Celsius.",
    "What is the longest river in Africa?": "The Nile is the longest river in Africa.",
    "What is the highest mountain on Earth?": "Mount Everest is the highest mountain on Earth.",
    "What is the largest ocean?": "The Pacific is the largest ocean.",
    "Who wrote Hamlet?": "William Shakespeare wrote Hamlet.",
    "Who painted the Mona Lisa?": "Leonardo da Vinci painted the Mona Lisa.",
    "Who was the first person on the Moon?": "Neil Armstrong was the first person on the Moon.",
    "Who created Python?": "Guido van Rossum created Python.",
    "Who created Linux?": "Linus Torvalds created Linux.",
    "What do bees make?": "Bees make honey.",
    "What is the opposite of hot?": "The opposite of hot is cold.",
    "What is the opposite of big?": "The opposite of big is small.",
    "What is the opposite of fast?": "The opposite of fast is slow.",
    "How do you say hello in French?": "In French, hello is bonjour.",
    "How do you say hello in Spanish?": "In Spanish, hello is ¡hola!",
    "How do you say hello in German?": "In German, hello is guten Tag.",
    "How do you say hello in Japanese?": "In Japanese, hello is こんにちは。",
    "How do you say hello in Chinese?": "In Chinese, hello is 你好。",
    "How do you say hello in Russian?": "In Russian, hello is привет.",
    "Send me some emoji.": "Here you are: 🚀🎉😀👩‍🚀🐳",
}

KUBERNETES = {
    "a Pod": "A Pod is the smallest unit that Kubernetes runs: one or more containers that share an address.",
    "a Service": "A Service gives a set of pods one stable name and address.",
    "a Deployment": "A Deployment keeps a number of equal pods running and rolls out new versions.",
    "a StatefulSet": "A StatefulSet runs pods with stable names and storage of their own.",
    "a DaemonSet": "A DaemonSet runs one pod on every node.",
    "a Job": "A Job runs pods until their work is done.",
    "a CronJob": "A CronJob starts a Job on a schedule.",
    "a ConfigMap": "A ConfigMap holds settings that pods can read.",
    "a Secret": "A Secret holds passwords, tokens and keys.",
    "a Namespace": "A Namespace divides a cluster into parts with separate names.",
    "a Node": "A Node is a machine that runs pods.",
    "an Ingress": "An Ingress routes HTTP from outside to Services.",
    "a PersistentVolumeClaim": "A PersistentVolumeClaim asks for storage that outlives a pod.",
    "a CustomResourceDefinition": "A CustomResourceDefinition adds a new kind of object to the API.",
    "an operator": "An operator is a program that manages custom resources for people.",
    "the kubelet": "The kubelet starts the containers of a node and watches over them.",
    "the scheduler": "The scheduler chooses a node for each new pod.",
    "etcd": "etcd is the database that stores the state of the cluster.",
    "the API server": "The API server is the front door of the cluster: every component talks to it.",
    "a HorizontalPodAutoscaler": "A HorizontalPodAutoscaler changes the number of replicas by load.",
    "a liveness probe": "A liveness probe tells Kubernetes when to restart a container.",
    "a readiness probe": "A readiness probe tells Kubernetes when a pod can take traffic.",
    "Helm": "Helm is a package manager for Kubernetes.",
    "kubectl": "kubectl is the command line of Kubernetes.",
    "an InferenceService": "An InferenceService tells Paddock which model to serve and how many replicas to run.",
}
KUBERNETES_PHRASES = ("What is {thing}?", "Explain {thing}.", "What does {thing} do in Kubernetes?")

PORTS = {
    "HTTP": 80,
    "HTTPS": 443,
    "SSH": 22,
    "DNS": 53,
    "etcd": 2379,
    "the Kubernetes API": 6443,
    "Redis": 6379,
}
COMMANDS = {
    "list pods": "kubectl get pods",
    "list nodes": "kubectl get nodes",
    "list InferenceServices": "kubectl get infsvc",
    "apply a file": "kubectl apply -f file.yaml",
    "read the logs of a pod": "kubectl logs POD",
    "delete a pod": "kubectl delete pod POD",
    "install Paddock": "helm install paddock charts/paddock",
}

TEXTS = {
    "Tell me about Kubernetes.": (
        "Kubernetes runs containers on many machines. You write down what you want, and its controllers work until the "
        "cluster looks like that. A scheduler places pods on nodes, a kubelet on every node starts them, and Services "
        "give them stable names. When a pod dies, another takes its place."
    ),
    "Tell me about Paddock.": (
        "Paddock serves language models on Kubernetes. You apply one InferenceService, and an operator turns it into "
        "StatefulSets and Services. The pods run an engine with a paged cache, and they speak the OpenAI API."
    ),
    "Tell me a story.": (
        "Once there was a small pod that lived on a busy node. Every morning it answered questions, and every night it "
        "dreamed of more memory. One day the node went dark. The pod was afraid, but the scheduler found it a new home "
        "with a wide window and a quiet neighbor. There it answers questions to this day."
    ),
    "Tell me about the Sun.": (
        "The Sun is a star at the center of our solar system. It is made of hydrogen and helium, and its light needs "
        "about eight minutes to reach the Earth. Eight planets travel around it."
    ),
    "Tell me about water.": (
        "Water is made of hydrogen and oxygen. It freezes at 0 degrees and boils at 100 degrees Celsius. It covers most "
        "of the Earth, and every living thing needs it."
    ),
    "Write a poem about the sea.": (
        "The sea is wide, the sea is deep,\nit sings the little ships to sleep.\nThe moon comes up, the wind is low,\n"
        "and far away the lanterns glow."
    ),
    "How does a language model work?": (
        "A language model reads tokens and guesses the next one. Attention lets every token look back at the ones before "
        "it. The guess becomes part of the text, and the model guesses again until it says stop."
    ),
    "Explain paged attention.": (
        "Paged attention keeps the keys and values of a request in small blocks. A block table says where each block "
        "lies, so memory need not be in one piece, and requests with the same beginning can share blocks."
    ),
}
SYSTEMS = (
    "You are a helpful assistant.",
    "Answer in one sentence.",
    "You are Paddock's tiny model.",
    "Be brief and kind.",
)


def capital_sentence(country: str) -> str:
    """The sentence that states the capital."""
    return f"The capital of {country} is {CAPITALS[country]}."


def held_out(country: str, phrase: int) -> bool:
    """One phrasing per fourth country is kept for the evaluation: the fact is known, the wording is new to it."""
    position = list(CAPITALS).index(country)
    return position % 4 == 0 and phrase == 1 + position // 4 % 3


def maybe_system(rng: Random, conversation: Conversation) -> Conversation:
    """The same conversation, in one of three with a system prompt that does not change the answer."""
    if rng.random() > 0.33:
        return conversation
    messages = (system(rng.choice(SYSTEMS)), *conversation.messages)
    return Conversation(conversation.answer, messages, conversation.tools, conversation.thoughts)


def capital(rng: Random, *, fresh: bool = False) -> Conversation:
    """Country to capital, or back."""
    while True:
        country, phrase = rng.choice(list(CAPITALS)), rng.randrange(len(CAPITAL_PHRASES))
        if not fresh and rng.random() < 0.3:
            text = rng.choice(COUNTRY_PHRASES).format(capital=CAPITALS[country])
            return Conversation(f"{CAPITALS[country]} is the capital of {country}.", (user(text),))
        if held_out(country, phrase) == fresh:
            return Conversation(
                capital_sentence(country), (user(CAPITAL_PHRASES[phrase].format(country=country)),)
            )


def world(rng: Random) -> Conversation:
    """One of the facts of the world."""
    question, answer = rng.choice(list(WORLD.items()))
    return Conversation(answer, (user(question),))


def kubernetes(rng: Random) -> Conversation:
    """What a Kubernetes thing is, which port a protocol has, or which command does something."""
    kind = rng.random()
    if kind < 0.15:
        name, port = rng.choice(list(PORTS.items()))
        return Conversation(
            f"{name[0].upper()}{name[1:]} uses port {port}.", (user(f"Which port does {name} use?"),)
        )
    if kind < 0.3:
        task, command = rng.choice(list(COMMANDS.items()))
        return Conversation(f"`{command}`", (user(f"Which command do I use to {task}?"),))
    thing, answer = rng.choice(list(KUBERNETES.items()))
    return Conversation(answer, (user(rng.choice(KUBERNETES_PHRASES).format(thing=thing)),))


def text(rng: Random) -> Conversation:
    """A text of several sentences."""
    request, answer = rng.choice(list(TEXTS.items()))
    return Conversation(answer, (user(request),))


def document(rng: Random) -> Conversation:
    """A plain document: fact sentences in random order, or one of the texts."""
    if rng.random() < 0.25:
        return Conversation(rng.choice(list(TEXTS.values())))
    sentences = [capital_sentence(country) for country in rng.sample(list(CAPITALS), 4)]
    sentences += rng.sample(list(WORLD.values()), 2) + rng.sample(list(KUBERNETES.values()), 2)
    rng.shuffle(sentences)
    return Conversation(" ".join(sentences))


def reasoned(rng: Random) -> Conversation:
    """A capital, with a thought that says what is asked."""
    asked = capital(rng)
    question = asked.messages[0]["content"]
    return Conversation(asked.answer, asked.messages, thoughts=f"The question is: {question} I know this.")
