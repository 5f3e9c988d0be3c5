"""One job as MPS answers it."""

JOB = "88c6ca184c0e47098a5b665e2a126797"
# Odd spacing, escapes and a trailing newline: the bytes must come through untouched.
RESPONSE = '{ "JobStatus":"Success","Results":{"Result":[]},\t"UserData":"\\u4e07é", "RequestId":"R" }\n'.encode()
