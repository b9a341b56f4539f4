"""What every part of a kind obeys, to be checked on your own parts too: one function a kind."""

from descend.laws.domain import check_domain as check_domain
