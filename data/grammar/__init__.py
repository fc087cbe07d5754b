"""The grammar that writes the course's movie reviews.

template    phrases with [alternatives] and {slots}: parsing and choosing
phrases     the pools of phrases under phrases/, and which of them each side (train, test) may use
films       the catalogue of invented films: every film keeps its facts in all reviews
writer      fills slots: polarity, agreement, names, and what a review has said already
finish      names, articles and capitals, once a review's frames stand in order
review      plans a review: opening, plot, judgement, the phenomenon, the end
untidy      what people do to a text on a web form: tags, entities, typos, capitals, emoji
measure     figures about the finished data set
"""
