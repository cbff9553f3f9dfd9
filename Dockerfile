# Asterisk 22 LTS from Debian's packages, for `ctiserver pbx up` on machines that can't unpack them themselves.
# Built by ctiserver when it is needed (`docker build --tag ctiserver-asterisk - < Dockerfile` does it by hand). The
# configuration, the logs and the messages come from outside; nothing in the image is written to.
FROM debian:forky-slim
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
      asterisk asterisk-core-sounds-en-gsm asterisk-moh-opsound-gsm \
 && rm -rf /var/lib/apt/lists/*
USER nobody
CMD ["asterisk", "-V"]
