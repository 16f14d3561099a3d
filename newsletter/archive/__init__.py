"""The archive: what anyone may read of a publication, in order, and every form in which it is handed out.

    catalogue    the public issues of a publication, newest first, with what a page says of each; kept between requests
    words        a text as the words that it is searched by
    search       an index of all stories, and what is found in it
    shards       that index as files, for a search that runs in a browser
    feeds        the latest issues as Atom, RSS and JSON
    directory    sitemap.xml, robots.txt
    citation     an issue as others cite it: in words, and for programs that keep references

A private issue is in none of it. No door is opened here: newsletter.web and newsletter.cli ask.
"""
