"""People as judges: a page on which somebody tells real pictures from generated ones, and what came of it.

    rating.write_page("runs/first", "rate.html", n=50)      # send it to whoever is to judge
    print(rating.read_verdicts("runs/first", ["ada.json", "ben.json"]))

The same as `rawgan rate runs/first` and `rawgan rate runs/first --verdicts ada.json ben.json`. The page is
one file that asks nothing of any host; at its end it shows the error rate, and gives the verdicts as a file.

The protocol is that of Zhou et al., "HYPE: a benchmark for human eye perceptual evaluation of generative
models", 2019, without a time limit: as many real as generated pictures, in random order, one at a time,
nothing said until the end. Whoever guesses is wrong about half of the time.
"""

from rawgan.rating.chance import interval, p_value
from rawgan.rating.page import write_page
from rawgan.rating.verdicts import Person, Rating, read_verdicts

__all__ = ["Person", "Rating", "interval", "p_value", "read_verdicts", "write_page"]
