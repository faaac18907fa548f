FROM base
COPY . /x/
