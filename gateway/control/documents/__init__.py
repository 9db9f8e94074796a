"""What the API is, told to programs and people: OpenAPI, the reference page, texts for models.

Read `operation` first, then `building`. The definition is data in `areas`; limits come from the
catalogue and addresses from the request, so nothing here can be of another deployment.
"""
