"""A bf16 that was measured to be faster, on trial: is it so in whole updates, too?"""

from __future__ import annotations

from torch import nn

from course_utils.training import hardware

# bf16 is given up if the fastest of so many first updates takes more than so many times as long as
# the products alone would take in fp32. Whole updates in fp32 take about twice as long as these.
NUM_UPDATES = 3
FAR_TOO_SLOW = 4.0
# Shorter updates are not judged: most of their time goes into the optimizer and the calls.
SHORT_SECONDS = 0.2


class PrecisionTrial:
    """Watches the first updates of a run in bf16.

    Attention, and all else that is no dense layer, was not measured when bf16 was chosen, and bf16
    may be slow there.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.seconds_per_token: list[float] = []

    def verdict(self, seconds: float, num_tokens: int) -> str | None:
        """Take the time of one more update: None while bf16 may stay, else why it must go.

        seconds: of the update.
        num_tokens: that it read, padding included.
        """
        if len(self.seconds_per_token) == NUM_UPDATES:
            return None
        self.seconds_per_token.append(seconds / num_tokens)
        if len(self.seconds_per_token) < NUM_UPDATES or seconds <= SHORT_SECONDS:
            return None
        fastest = min(self.seconds_per_token)
        products = hardware.seconds_of_products(self.model, num_tokens) / num_tokens
        if fastest <= FAR_TOO_SLOW * products:
            return None
        return (
            f"the first updates in bf16 took {fastest / products:.0f} times as long as their "
            "matrix products take in fp32"
        )
