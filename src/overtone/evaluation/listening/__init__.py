"""Run a blind listening test of the evaluate stage's examples in the browser.

examples    the files in data/examples, matched in loudness and length
session     a listener's trials, their order, and meaningless names
store       the ratings, in SQLite
server      the page and its ratings over HTTP
exchange    the test as a static folder, and the files that listeners send back
summary     mean scores with intervals, as JSON and a picture
page/       the page: plain HTML, CSS and JavaScript
"""
