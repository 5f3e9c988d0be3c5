"""What the vendor's words are called in the report, in Chinese and English."""

from __future__ import annotations

from typing import NamedTuple


class Label(NamedTuple):
    """One label in Chinese and English, which say the same."""

    zh: str
    en: str


CATEGORIES = {
    "sensitive": Label("敏感人物", "sensitive"),
    "politician": Label("政治人物", "politician"),
    "celebrity": Label("名人", "celebrity"),
    "custom": Label("自定义人物", "custom"),
    "unknown": Label("未知人脸", "unknown"),
}
# By severity: what a reviewer sees first. The category of a person, and the level of a concept, that raise an alert.
ALERTS = {"sensitive-person": "sensitive", "politician": "politician"}
KNOWN = Label("已识别人物", "People recognised")
FACES = Label("未知人脸", "Unknown faces")
TAGS = Label("画面标签", "Visual tags")
IMAGE_TAGS = Label("图片标签", "Image tags")
CONCEPT_ROWS = Label("概念", "Concepts")
SHOTS = {
    "closeUp": Label("特写", "close-up"),
    "medium-closeUp": Label("近景", "medium close-up"),
    "medium": Label("中景", "medium"),
    "medium-long": Label("全景", "long"),
}
CONCEPTS = {
    "cate": Label("类目", "category"),
    "entity": Label("实体", "entity"),
    "hotword": Label("热词", "hot word"),
    "freeTag": Label("自由标签", "free tag"),
}
SCENES = {
    "interview": Label("面试", "interview"),
    "lecture": Label("演讲", "lecture"),
    "meeting": Label("会议", "meeting"),
}
STATUSES = {
    "Success": Label("分析完成", "Finished"),
    "Fail": Label("分析失败", "Failed"),
    "Processing": Label("分析中", "Processing"),
    "Submitted": Label("已提交", "Submitted"),
}
KINDS = {"video": Label("视频", "video"), "image": Label("图片", "image"), "unknown": Label("媒体文件", "media file")}
TEXT_TYPES = {"0": Label("字幕", "caption"), "1": Label("滚动", "rolling"), "2": Label("固定", "fixed")}
STATES = {
    "ok": Label("正常", "ok"),
    "empty": Label("空", "empty"),
    "failed": Label("分析失败", "failed"),
    "invalid": Label("无法读取", "unreadable"),
    "unknown": Label("未知类型", "unknown type"),
}
ARTIFACTS = {
    "summary.json": Label("摘要数据 JSON", "Summary, JSON"),
    "subtitles.vtt": Label("字幕 WebVTT", "Subtitles, WebVTT"),
    "subtitles.srt": Label("字幕 SRT", "Subtitles, SRT"),
    "transcript.txt": Label("纯文本文字稿", "Transcript, plain text"),
    "timeline.ndjson": Label("时间线明细，每次出现一行", "Timeline in detail, one row per appearance"),
    "response.json": Label("MPS 的原始响应", "Raw response of MPS"),
    "manifest.json": Label("文件清单", "Manifest"),
}
# By code; the English stands in the summary.
WARNINGS = {
    "absurd-time": "时间超过三年，已忽略",
    "bad-ratio": "占比不在 0 到 1 之间，已忽略",
    "bad-score": "置信度为负数而又不是 -1，已忽略",
    "byte-order-mark": "JSON 前有字节顺序标记，已跳过",
    "encoding": "不是 UTF-8，已按实际编码读取",
    "invalid-json": "不是 JSON，未采用",
    "json-as-text": "JSON 中以文字写成的 JSON，已按原意读取",
    "mended-json": "JSON 有错，去掉错误的值后读取",
    "merged-rows": "前面已有同名的行，已合并，占比相加",
    "more": "其余提示未逐条列出",
    "negative-time": "时间早于开头，按 0 读取",
    "no-details": "内容外缺少文档所述的一层对象，已直接读取",
    "no-status": "没有已知的 JobStatus；因为有结果，按 Success 读取",
    "no-text": "没有文字，已丢弃",
    "no-time": "缺少时间",
    "not-a-link": "不是 http 或 https 链接，已跳过",
    "not-finite": "不是有限的数，已忽略",
    "not-text": "此处应为文字，已按文字保留",
    "nul": "文字中的 NUL 已替换",
    "number-as-text": "写成文字的数字，已按数字读取",
    "numbered-object": "此处应为列表而是以数字为名的对象，已按列表读取",
    "ratios-disagree": "各行的占比与时间对不上同一个片长，未推断片长",
    "result-elsewhere": "此处应为结果而是网址，已收入链接，未读取",
    "reversed-range": "结束早于开始，已丢弃",
    "sdk-envelope": "外层是 MPS SDK 的包装，已读取其 body",
    "single-object": "此处应为列表，单个对象按一项的列表读取",
    "too-deep": "嵌套过深，未采用",
    "unknown-field": "本版本不认识的字段，已跳过",
    "unknown-type": "本版本不认识的结果类型，已跳过",
    "vendor-failed": "MPS 表示这一部分没有成功",
    "wrong-type": "类型与文档不符，已忽略",
}
