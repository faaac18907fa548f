FROM composer:2.7 AS vendor
WORKDIR /app
COPY composer.json composer.lock ./
RUN --mount=type=cache,target=/tmp/cache composer install --no-dev --no-scripts --no-autoloader
COPY . .
RUN composer dump-autoload --optimize

FROM php:8.3-fpm-alpine
RUN docker-php-ext-install opcache
WORKDIR /var/www
COPY --from=vendor /app/vendor ./vendor
COPY public ./public
COPY src ./src
USER www-data
