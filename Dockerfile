# bench with the CPU build of PyTorch; mount a folder to keep data and runs: docker run -v "$PWD:/data" bench ...
FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir torch --index-url https://download.pytorch.org/whl/cpu
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY bench bench
COPY plugins plugins
COPY datasets datasets
RUN pip install --no-cache-dir '.[torch,stats]'
RUN useradd --create-home bench && mkdir /data && chown bench /data
USER bench
WORKDIR /data
ENTRYPOINT ["bench"]
CMD ["--help"]
