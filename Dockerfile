# Everything but the data:   docker build -t stars .   [--build-arg TORCH=envs/torch-cuda.txt]
# Then, results on the host: docker run --rm -v "$PWD/results:/stars/results" stars snakemake --cores 2
FROM python:3.11-slim

ARG TORCH=envs/torch-cpu.txt

RUN apt-get update && apt-get install --yes --no-install-recommends git && rm -rf /var/lib/apt/lists/*
WORKDIR /stars
COPY pyproject.toml README.md LICENSE ./
COPY envs envs
COPY stars stars
RUN pip install --no-cache-dir --constraint envs/constraints.txt --requirement "$TORCH" --editable '.[workflow]'
COPY . .
ENV OMP_NUM_THREADS=1
CMD ["snakemake", "--cores", "2"]
