"""The HTTP calls of the POMS before this one, at their old paths, for wrappers and client scripts in the field.

Each is one verb or question of ours with the answer in the old shape (protocols 5.2 and 6). It stands above the API,
whose sign-in and refusals it uses; nothing else knows of it.
"""
