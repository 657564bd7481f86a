"""A blind listening test of the examples that the evaluate stage wrote, in the browser.

examples    the files in data/examples, loudness matched
session     what a listener hears, in which order, under which names
store       the ratings, in SQLite
server      the page and its ratings over HTTP
exchange    the same test as a static folder, and the files that listeners send back
summary     mean scores with intervals, as JSON and a picture
page/       the page itself: plain HTML, CSS and JavaScript
"""
