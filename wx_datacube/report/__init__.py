"""Report: one HTML file with what people look at, made from the published file.

`figures` reads, `charts` draws, `page` puts together, `words` says it in Chinese and English.
"""
