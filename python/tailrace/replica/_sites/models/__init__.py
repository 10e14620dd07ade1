"""The APIs of models: a folder or module for each, and what they share.

`requests` is what a request means, whatever its API; `replies` is the model's reply to it, made of
tokens; `behaviors` has the words that change it; `schemas` makes values for tools and structured
answers. An API's own module reads its requests and writes its replies, events and errors.
"""
