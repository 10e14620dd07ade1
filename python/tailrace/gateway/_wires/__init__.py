"""The wires that clients speak: for each a schema into the inner form of a request, and an encoder.

`request` is the inner form, `fitting` what of it a site can take, `answer` the driver that reads the
site's answer and writes it through the wire's encoder.
"""
