"""An issue as a folder: everything that makes it up, in files that people, git and other programs read.

    issue.toml                    number, date, subject, times, order of the stories, corrections, checksums
    stories/1-toyota-puts….md     each story as it was frozen, in the form that `newsletter draft add` reads
    pictures/ab12….jpg            by their content
    renditions/mail.html  mail.txt  page.html  entry.html  issue.pdf
    renditions/revision-2/…       page, feed entry and PDF as they are since a correction
    SHA256SUMS                    of all these; `sha256sum -c` checks them

    writing       an issue into a folder: the same issue, the same bytes
    opening       a folder's files, none of which leads out of it or is too large
    reading       such a folder as a value, with every mistake's file and line
    archiving     that value into a database that doesn't have the issue: as sent, and nothing is mailed

No reader is in it.
"""

from newsletter.issue_folder.archiving import archive
from newsletter.issue_folder.reading import FolderRead, read
from newsletter.issue_folder.writing import files, write

__all__ = ["FolderRead", "archive", "files", "read", "write"]
