"""Results in the forms of other programs: a module a form.

Forms that need a library of their own are extras of the package.
"""
