"""What it takes to call a gradient proven: cases, the checks they go through, and the proof of the checks.

`case` says what a row of the table is, `checks` holds one function for each property, and `mutation`
breaks the rules on purpose to see that the checks notice.
"""
