"""The three press articles that the Government Portal publishes first, exactly as they stand in `articles/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files

from portalbus.schemas.models import BodyFormat, DirectiveAction, DirectivePublished


@dataclass(frozen=True)
class Article:
    """One article file and what the portal's editor enters beside the text."""

    file: str
    language: str
    issued_on: date
    title: str

    @property
    def directive_id(self) -> str:
        """Its id at the Government Portal."""
        return f"hoi-nghi-ket-noi-cong-ttdt-2024-{self.language}"

    def text(self) -> str:
        """The text of the file, every character."""
        return files("portalbus.infra.demo").joinpath("articles").joinpath(self.file).read_bytes().decode("utf-8")


ARTICLES = (
    Article(
        "article-vi.txt",
        "vi",
        date(2024, 11, 14),
        "Hội nghị kết nối thông tin chỉ đạo, điều hành của Chính phủ trên môi trường mạng với Cổng TTĐT"
        " các Bộ, ngành, địa phương năm 2024",
    ),
    Article(
        "article-en.txt",
        "en",
        date(2024, 11, 14),
        "Need mechanism, guidance on spending on remuneration and royalties",
    ),
    Article(
        "article-ja-vi.txt",
        "ja",
        date(2024, 11, 15),
        "ネットワーク環境上の政府情報を省庁、支部、地方自治体の電子ポータルに接続",
    ),
)


def article_directives(heads: Mapping[str, int]) -> Iterator[DirectivePublished]:
    """The articles as directives, in order. `heads` holds the versions that the centre has already, by directive id.

    A portal that runs the demo again publishes the next version, as a real one would.
    """
    for article in ARTICLES:
        version = heads.get(article.directive_id, 0) + 1
        yield DirectivePublished(
            action=DirectiveAction.PUBLISH if version == 1 else DirectiveAction.REVISE,
            directive_id=article.directive_id,
            version=version,
            number="",
            document_type="TIN",
            title=article.title,
            body=article.text(),
            body_format=BodyFormat.TEXT,
            language=article.language,
            field="Chuyển đổi số",
            issued_on=article.issued_on,
            canonical_url=f"https://chinhphu.vn/{article.directive_id}",
        )
