"""The wires that clients speak: each has a schema of its requests and an encoder of its answers.

`request` is the inner form, `fitting` what of it a site can take, `answer` the driver that reads
the site's answer and writes it through the wire's encoder.
"""
