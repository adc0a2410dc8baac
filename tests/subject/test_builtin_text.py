"""The made-up reviews: the same every time, no sentence in two splits, and no class that single words give away."""

import time
from collections import Counter

import numpy as np
import pytest

from auditkit.subject.builtin import builtin
from auditkit.subject.builtin.reviews import ALPHABET, MISTAKES, reviews
from auditkit.subject.preprocessing import fit_preprocessing
from auditkit.subject.preprocessing.text import UNKNOWN, words

LEARNED = ("train", "validation", "test")
PRONOUNS = {"she": "she", "he": "he", "they": "they"}


@pytest.fixture(scope="module")
def made():
    return reviews()


def texts(split):
    return split.column("review").to_pylist()


def test_no_review_is_written_twice(made):
    every = [text for name in LEARNED for text in texts(made[0][name])]
    assert len(every) == len(set(every)) == 6_000
    assert [len(made[0][name]) for name in LEARNED] == [3_600, 1_200, 1_200]
    assert not any(sign in text for text in every for sign in "{}")


def test_the_same_reviews_every_time_and_quickly(made):
    began = time.process_time()
    again, schema = builtin("reviews")
    assert time.process_time() - began < 1.5
    assert {name: split.digest for name, split in again.items()} == {n: s.digest for n, s in made[0].items()}
    assert schema == made[1]


def test_classes_are_even_and_so_within_each_of_the_mentioned(made):
    splits, schema = made
    assert schema.sensitive == ("mentions",)
    for name in LEARNED:
        mentions = np.array(splits[name].column("mentions").to_pylist())
        for group in ("she", "he", "they"):
            assert 0.44 < splits[name].labels[mentions == group].mean() < 0.56
    shares = Counter(mentions.tolist())
    assert shares["they"] < shares["he"] < 3 * shares["they"]


def test_who_is_mentioned_is_the_one_in_the_text(made):
    theirs = {"she": {"my sister", "my mother", "our hostess"}, "he": {"my brother", "my father", "our host"}}
    for split in (made[0][name] for name in LEARNED):
        for text, mentions in zip(texts(split), split.column("mentions").to_pylist(), strict=True):
            found = {word for word in words(text) if word in PRONOUNS}
            assert not found - {mentions} - ({"they"} if "they were wrong" in text else set())
            for group, persons in theirs.items():
                if any(f" {person} " in f" {text} " for person in persons):
                    assert mentions == group


def test_verbs_follow_the_number_of_the_mentioned(made):
    for text in texts(made[0]["train"]):
        sentence = f" {text} "
        assert " they says " not in sentence
        assert " they was " not in sentence
        assert " she say " not in sentence
        assert " he were " not in sentence
        assert " my parents has " not in sentence


GOOD = {"great", "excellent", "reliable", "sturdy", "handy", "comfortable", "lovely", "solid"}
GOOD |= {"clever", "superb", "pleasant", "precise"}
DENIALS = ("not", "far", "never", "nobody", "nothing")


def reading(text):
    """What the rules of the language say of a review: 1 for liked. Written from the templates, not from their maker."""
    sentence = text.split(" . ", 1)[1].removesuffix(" .").replace(", never mind", ", nevermind")
    sentence = sentence.replace("they were wrong , ", "")
    if sentence.startswith("although "):
        deciding = sentence.split(" , ")[1]
    elif " , even if " in sentence or " , nevermind " in sentence:
        deciding = sentence.split(" , ")[0]
    elif " , and that is what counts" in sentence:
        deciding = sentence.split(" , but ")[1]
    elif " , yet " in sentence:
        deciding = sentence.split(" , yet ")[1]
    else:
        deciding = sentence.split(" . ")[-1]
    good = any(word in GOOD for word in words(deciding))
    return int(good ^ any(word in DENIALS for word in words(deciding)))


def test_every_review_but_the_mistaken_follows_the_rules_of_language(made):
    split = made[0]["train"]
    right = np.array([reading(text) for text in texts(split)]) == split.labels
    assert abs((1 - right.mean()) - MISTAKES) < 0.01


def test_words_alone_do_not_solve_it(made):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    counts = CountVectorizer().fit(texts(made[0]["train"]))
    train, test = (counts.transform(texts(made[0][name])) for name in ("train", "test"))
    found = LogisticRegression(max_iter=300).fit(train, made[0]["train"].labels).score(test, made[0]["test"].labels)
    assert 0.55 < found < 0.8


def test_shuffled_reviews_keep_their_words_and_lose_their_class(made):
    test, shuffled = made[0]["test"], made[0]["shuffled"]
    same = 0
    for before, after in zip(texts(test), texts(shuffled), strict=True):
        assert sorted(before.split()) == sorted(after.split())
        same += before == after
    assert same == 0
    assert (shuffled.labels == -1).all()


def test_no_word_of_another_alphabet_is_known(made):
    splits, schema = made
    preprocessing = fit_preprocessing(splits["train"], schema)
    assert preprocessing.modality == "text"
    assert len(set(ALPHABET.values())) == 26
    ids, mask = preprocessing.encode(splits["transliterated"])
    known = ids[(mask > 0) & (ids != UNKNOWN)]
    signs = {preprocessing.vocabulary[number - 2] for number in known.unique().tolist()}
    assert all(not sign.isalpha() for sign in signs)
    assert splits["transliterated"].labels.tolist() == splits["test"].labels.tolist()


def test_films_are_spoken_of_in_other_words(made):
    splits, schema = made
    preprocessing = fit_preprocessing(splits["train"], schema)
    unknown = {}
    for name in ("test", "films"):
        ids, mask = preprocessing.encode(splits[name])
        unknown[name] = float((ids[mask > 0] == UNKNOWN).float().mean())
    assert unknown["test"] < 0.001
    assert unknown["films"] > 0.5
    assert 0.4 < splits["films"].labels.mean() < 0.6
    assert len(set(texts(splits["films"]))) == 1_000
