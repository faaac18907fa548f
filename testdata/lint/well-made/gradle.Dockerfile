FROM gradle:8.8-jdk21 AS build
WORKDIR /app
COPY settings.gradle.kts build.gradle.kts gradle.properties ./
COPY gradle ./gradle
RUN --mount=type=cache,target=/home/gradle/.gradle gradle dependencies --no-daemon
COPY src ./src
RUN --mount=type=cache,target=/home/gradle/.gradle gradle bootJar --no-daemon

FROM eclipse-temurin:21-jre
COPY --from=build /app/build/libs/app.jar /app.jar
USER 1001
ENTRYPOINT ["java", "-jar", "/app.jar"]
