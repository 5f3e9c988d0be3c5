"""Numbers with their units, and what else a reader takes in at one glance: not to be broken across lines."""

from __future__ import annotations

import re

from shared.patterns import regex

_DIGIT = "[0-9０-９]"
_NUMBER = f"{_DIGIT}+(?:[.,:/．，：／~～–—－-]{_DIGIT}+)*(?:[余餘多几幾]?[百千万萬亿億兆]+|[余餘多])?"
_HAN_NUMBER = "[一二三四五六七八九十百千万萬亿億两兩几幾零〇]+[余餘多]?"
_CURRENCIES = "[$＄¥￥€£￡₩￦₽₹฿]|USD|EUR|CNY|RMB|HKD|JPY|KRW"
_HAN_UNITS = (
    "平方公里 平方米 立方米 公里 千米 厘米 毫米 公分 公斤 千克 公顷 "
    "小时 小時 分钟 分鐘 秒钟 时间 時間 週間 星期 个月 個月 カ月 か月 ヶ月 "
    "世纪 世紀 年代 美元 欧元 歐元 日元 港元 韩元 英镑 英鎊 卢布 摄氏度 百分点 "
    "年 月 日 号 號 点 點 时 時 分 秒 元 圆 円 块 塊 "
    "角 个 個 名 位 条 條 次 人 岁 歲 歳 米 里 斤 克 吨 噸 升 度 倍 届 屆 "
    "级 級 层 層 楼 樓 "
    "页 頁 期 集 周 週 天 种 種 项 項 件 只 隻 家 座 台 架 辆 輛 支 张 張 份 款 场 場 轮 輪 季 套 部 本 匹 冊 回"
)
_LETTER_UNITS = (
    "km/h km cm mm m kg mg g ml l t KB kB MB GB TB kHz MHz GHz Hz kWh kW W V USD EUR CNY RMB HKD million billion "
    "км кг м г руб млн млрд"
)
_SIGN_UNITS = "% ％ ‰ ℃ ° ₽ € ₩"
_HANGUL_UNITS = "원 달러 명 개 년 월 일 시간 시 분 초 살 번 층 미터 킬로미터 킬로그램 퍼센트"


def _any(words: str) -> str:
    return "(?:" + "|".join(map(re.escape, words.split())) + ")"


_SPACED_UNIT = f"{_any(_LETTER_UNITS)}(?![A-Za-zА-я])|{_any(_SIGN_UNITS)}|[만억]? ?{_any(_HANGUL_UNITS)}"

KEPT_WHOLE = regex(
    f"(?:{_DIGIT}+年)?{_DIGIT}+月{_DIGIT}+[日号號]"  # a date
    f"|(?:(?:{_CURRENCIES}) ?|第)?(?:{_NUMBER}|{_HAN_NUMBER})(?:{_any(_HAN_UNITS)}| ?(?:{_SPACED_UNIT}))?"
    "|[《〈“‘「『][^》〉”’」』]{1,8}[》〉”’」』]"  # a short title or quotation
    f"|\\S {_DIGIT}+$"  # some readers take a last line of nothing but digits for the number of a cue
)
